import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AuthenticationInfoSchema,
  GetResponseSchema,
  ListResponseSchema,
  OperationAuthenticationService,
  AuthenticationInfo_SchemeType as SchemeType,
} from "../../gen/vapi/metadata/authentication/v1/authentication_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import { requireOperation, requireService } from "./introspection.ts";
import type { VapiServices } from "./vapi-types.ts";

export const { methods: authenticationMethods } = OperationAuthenticationService;
const { method: rpc } = OperationAuthenticationService;

const scheme = (name: string) => `com.vmware.vapi.std.security.${name}`;

type Schemes = readonly MessageInitShape<typeof AuthenticationInfoSchema>[];

const forPublic: Schemes = [{ schemeType: SchemeType.SESSIONLESS, scheme: scheme("no_authentication") }];
const forLogins: Schemes = ["user_pass", "oauth"].map((name) => ({
  schemeType: SchemeType.SESSIONLESS,
  scheme: scheme(name),
}));
const forOthers: Schemes = [
  {
    schemeType: SchemeType.SESSION_AWARE,
    sessionManager: "com.vmware.cis.session",
    scheme: scheme("session_id"),
  },
];

/** The operations of `com.vmware.vapi.metadata.authentication.service.operation`. */
export function authenticationOperations(services: VapiServices): Operation[] {
  return [
    operation({
      method: rpc.list,
      isPublic: true,
      async run({ serviceId }) {
        return create(ListResponseSchema, { operationIds: [...requireService(services, serviceId).keys()] });
      },
    }),
    operation({
      method: rpc.get,
      isPublic: true,
      async run({ serviceId, operationId }) {
        const { isPublic, isLogin } = requireOperation(services, serviceId, operationId);
        const schemes = isPublic ? forPublic : isLogin ? forLogins : forOthers;
        return create(GetResponseSchema, { info: { schemes: [...schemes] } });
      },
    }),
  ];
}
