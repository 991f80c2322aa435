import type { ServiceError } from "../../domain/errors.ts";
import type { RequestFormat, ResponseType } from "./media-types.ts";
import { apiNotation, type Notation, restNotation } from "./notation.ts";
import type { RouteSet } from "./operation-options.ts";
import type { Tree, TreeObject } from "./tree.ts";

/** What sets one REST flavour of vAPI apart from another; the engine is the same. */
export interface Dialect {
  /** Which routes of a binding are its own. */
  readonly routes: RouteSet;
  /** What comes before the paths of the routes. */
  readonly prefixes: readonly string[];
  /** Query parameter that selects among the routes of a path. */
  readonly actionParameter: string;
  /** Query parameter that leads nowhere, because it would mean something else in another dialect. */
  readonly foreignActionParameter?: string;
  /** What bodies may be written in. */
  readonly requestFormats: readonly RequestFormat[];
  /** What answers may be written in, the usual one first. */
  readonly responseTypes: readonly ResponseType[];
  readonly notation: Notation;
  /** Whether logging in sets a cookie. */
  readonly hasLoginCookie?: boolean;
  /** XML has room for a structure only. */
  wrapResult(result: Tree): Tree;
  wrapError(error: ServiceError): TreeObject;
}

/** The 2014 binding and `/rest` of 6.5 to 8.0. */
export const restDialect: Dialect = {
  routes: "rest",
  prefixes: ["", "/rest"],
  actionParameter: "~action",
  requestFormats: ["json", "xml", "form"],
  responseTypes: ["application/json", "application/xml", "text/xml"],
  notation: restNotation,
  hasLoginCookie: true,
  wrapResult: (value) => ({ value }),
  wrapError: (error) => ({
    type: `com.vmware.vapi.std.errors.${error.vapiType.toLowerCase()}`,
    value: errorStructure(error),
  }),
};

/** `/api` of 7.0U2 and later. */
export const apiDialect: Dialect = {
  routes: "api",
  prefixes: ["/api"],
  actionParameter: "action",
  // `POST /api/session?~action=get` would otherwise log in.
  foreignActionParameter: "~action",
  requestFormats: ["json"],
  responseTypes: ["application/json"],
  notation: apiNotation,
  wrapResult: (value) => value,
  wrapError: errorStructure,
};

export const dialects: readonly Dialect[] = [restDialect, apiDialect];

/** The dialect to tell an error in when the path leads nowhere. */
export function dialectOf(path: string): Dialect {
  const isBelow = (prefix: string) => prefix !== "" && (path === prefix || path.startsWith(`${prefix}/`));
  return dialects.find(({ prefixes }) => prefixes.some(isBelow)) ?? restDialect;
}

function errorStructure({ vapiType, messageId, message, args }: ServiceError): TreeObject {
  return { error_type: vapiType, messages: [{ id: messageId, default_message: message, args }] };
}
