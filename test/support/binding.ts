import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  DownloadSessionService,
  KeepAliveRequestSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { RestRouteSchema } from "../../gen/vapi/v1/options_pb.ts";
import { planOf } from "../../src/protocols/vapi/binder.ts";
import type { Binding } from "../../src/protocols/vapi/bindings.ts";
import { optionsOf, type RouteSet, routeOf } from "../../src/protocols/vapi/operation-options.ts";

export type RouteOption = MessageInitShape<typeof RestRouteSchema>;

/** `DownloadSession.KeepAlive` under another name and on other routes. */
export function bindingOn(routes: Partial<Record<RouteSet, RouteOption[]>>, name = "any"): Binding {
  const method = DownloadSessionService.method.keepAlive;
  const routesOf = (options: RouteOption[] = []) =>
    options.map((option) => routeOf(create(RestRouteSchema, option), method, 200));
  return {
    ...optionsOf(method),
    name,
    run: async () => create(KeepAliveRequestSchema),
    mappingFor: (notation) => ({ request: planOf(KeepAliveRequestSchema, notation), result: undefined }),
    isRoutine: false,
    isAdministration: false,
    isLogin: false,
    isLogout: false,
    routes: { rest: routesOf(routes.rest), api: routesOf(routes.api) },
  };
}
