import { vapiErrorBody, vapiErrorName } from "../../calls/vapi-error.ts";
import type { ServiceError } from "../../domain/errors.ts";
import type { RequestFormat, ResponseType } from "./media-types.ts";
import { apiNotation, type Notation, restNotation } from "./notation.ts";
import type { RouteSet } from "./operation-options.ts";
import type { Tree, TreeObject } from "./tree.ts";

/** What distinguishes one REST dialect of vAPI from another. */
export interface Dialect {
  /** The set of routes in a binding that belongs to this dialect. */
  readonly routes: RouteSet;
  /** Path prefixes of the routes. */
  readonly prefixes: readonly string[];
  /** Query parameter that selects among the routes of a path. */
  readonly actionParameter: string;
  /** Query parameter that matches no operation, because another dialect would understand it differently. */
  readonly foreignActionParameter?: string;
  /** Accepted formats of request bodies. */
  readonly requestFormats: readonly RequestFormat[];
  /** Formats of responses, the default first. */
  readonly responseTypes: readonly ResponseType[];
  /** Below this prefix, another format has to be preferred to the default; elsewhere the one named first counts. */
  readonly strictPrefix?: string;
  readonly notation: Notation;
  /** The path, without prefix, at which the routes of a service begin by the convention of the dialect. */
  pathOf(serviceId: string): string;
  /** Whether a login sets a cookie. */
  readonly hasLoginCookie?: boolean;
  /** XML can only carry a structure. */
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
  // `/rest` of vSphere has no XML: libraries that list it before JSON do so by default.
  strictPrefix: "/rest",
  notation: restNotation,
  hasLoginCookie: true,
  pathOf: (serviceId) => `/${serviceId.replaceAll(".", "/").replaceAll("_", "-")}`,
  wrapResult: (value) => ({ value }),
  wrapError: (error) => ({
    type: vapiErrorName(error),
    value: vapiErrorBody(error),
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
  pathOf: (serviceId) => restDialect.pathOf(serviceId.replace(/^com\.vmware\./, "")),
  wrapResult: (value) => value,
  wrapError: vapiErrorBody,
};

export const dialects: readonly Dialect[] = [restDialect, apiDialect];

/** The dialect of the error response when the path matches no route. */
export function dialectOf(path: string): Dialect {
  return dialects.find(({ prefixes }) => prefixes.some((prefix) => isBelow(prefix, path))) ?? restDialect;
}

/** @returns false for the empty prefix, which every path begins with */
export function isBelow(prefix: string | undefined, path: string): boolean {
  return !!prefix && (path === prefix || path.startsWith(`${prefix}/`));
}
