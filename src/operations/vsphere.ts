import { create } from "@bufbuild/protobuf";
import {
  UpdateSessionService,
  UpdateSessionServiceListResponseSchema,
} from "../../gen/content/library/item/v1/update_session_pb.ts";
import {
  SubscriptionsService,
  SubscriptionsServiceListResponseSchema,
} from "../../gen/content/library/v1/subscriptions_pb.ts";
import {
  SecurityPoliciesService,
  SecurityPoliciesServiceListResponseSchema,
} from "../../gen/content/v1/security_policies_pb.ts";
import {
  SubscribedLibraryService,
  SubscribedLibraryServiceListResponseSchema,
} from "../../gen/content/v1/subscribed_library_pb.ts";
import {
  TrustedCertificatesService,
  TrustedCertificatesServiceListResponseSchema,
} from "../../gen/content/v1/trusted_certificates_pb.ts";
import { TypeService, TypeServiceListResponseSchema } from "../../gen/content/v1/type_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import { type ContentSource, itemTypes } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import { identifier, lookUpItem, lookUpLibrary } from "./arguments.ts";

/** Services that clients of vSphere call around a download. Besides the types of items, there is nothing in them here. */
export function vsphereOperations(content: ContentSource): Operation[] {
  return [...emptyLibraryOperations(content), ...emptySystemOperations()];
}

/** `com.vmware.content.library.item.update_session`, `….subscribed_library` and `….library.subscriptions`. */
function emptyLibraryOperations(content: ContentSource): Operation[] {
  return [
    operation({
      method: UpdateSessionService.method.list,
      async run({ libraryItemId }) {
        if (libraryItemId !== undefined) {
          await lookUpItem(content, identifier(libraryItemId, "library_item_id"));
        }
        return create(UpdateSessionServiceListResponseSchema);
      },
    }),
    operation({
      method: UpdateSessionService.method.get,
      async run({ updateSessionId }) {
        const id = identifier(updateSessionId, "update_session_id");
        throw new ServiceError("downlease.update_session.not_found", [id]);
      },
    }),
    operation({
      method: SubscribedLibraryService.method.list,
      async run() {
        return create(SubscribedLibraryServiceListResponseSchema);
      },
    }),
    operation({
      method: SubscribedLibraryService.method.get,
      async run({ libraryId }) {
        const id = identifier(libraryId, "library_id");
        throw new ServiceError("downlease.library.not_subscribed", [id]);
      },
    }),
    operation({
      method: SubscriptionsService.method.list,
      async run({ library }) {
        await lookUpLibrary(content, identifier(library, "library"));
        return create(SubscriptionsServiceListResponseSchema);
      },
    }),
  ];
}

/** `com.vmware.content.type`, `….security_policies` and `….trusted_certificates`. */
function emptySystemOperations(): Operation[] {
  const types = Object.entries(itemTypes).map(([type, description]) => ({
    type,
    description,
    name: type.toUpperCase(),
    vendor: "downlease",
    version: "1",
  }));
  return [
    operation({
      method: TypeService.method.list,
      async run() {
        return create(TypeServiceListResponseSchema, { types });
      },
    }),
    operation({
      method: SecurityPoliciesService.method.list,
      async run() {
        return create(SecurityPoliciesServiceListResponseSchema);
      },
    }),
    operation({
      method: TrustedCertificatesService.method.list,
      async run() {
        return create(TrustedCertificatesServiceListResponseSchema, { certificates: {} });
      },
    }),
  ];
}
