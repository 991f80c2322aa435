import type { ServiceError } from "../domain/errors.ts";
import type { Tree, TreeObject } from "./tree.ts";

/** What sets one REST flavour of vAPI apart from another; the engine is the same. */
export interface Dialect {
  /** What comes before the paths of the routes. */
  readonly prefixes: readonly string[];
  /** Query parameter that selects among the routes of a path. */
  readonly actionParameter: string;
  /** Whether logging in sets a cookie. */
  readonly hasLoginCookie?: boolean;
  wrapResult(result: Tree): TreeObject;
  wrapError(error: ServiceError): TreeObject;
}

/** The 2014 binding and `/rest` of 6.5 to 8.0. */
export const restDialect: Dialect = {
  prefixes: ["", "/rest"],
  actionParameter: "~action",
  hasLoginCookie: true,
  wrapResult: (value) => ({ value }),
  wrapError: (error) => ({
    type: `com.vmware.vapi.std.errors.${error.vapiType.toLowerCase()}`,
    value: {
      error_type: error.vapiType,
      messages: [{ id: error.messageId, default_message: error.message, args: error.args }],
    },
  }),
};
