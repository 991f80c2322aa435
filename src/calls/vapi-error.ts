import type { ServiceError } from "../domain/errors.ts";
import { errorDomain } from "./status.ts";

/** Qualified name of the error's vAPI type, for example `com.vmware.vapi.std.errors.not_found`. */
export function vapiErrorName({ vapiType }: ServiceError): string {
  return `${errorDomain}.${vapiType.toLowerCase()}`;
}

/** The error as a vAPI structure, the body of an error response in the REST dialects. */
export function vapiErrorBody({ vapiType, messageId, message, args }: ServiceError) {
  return { error_type: vapiType, messages: [{ id: messageId, default_message: message, args }] };
}
