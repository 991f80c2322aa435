import { documentHandler } from "../../calls/document.ts";
import type { ProtocolHandler } from "../../calls/protocol-handler.ts";

/** Where the OpenAPI document is served. */
export const openApiPath = "/openapi.json";

/**
 * The OpenAPI document of the REST dialect `/api`.
 *
 * @param text as generated from the interface
 * @param pageHeaders names and values in turn; see `pageHeaders`
 */
export function openApiHandler(text: string, pageHeaders: readonly string[]): ProtocolHandler {
  // Without the white space that makes the file readable in a diff.
  const bytes = Buffer.from(JSON.stringify(JSON.parse(text)));
  const document = { name: "OpenAPI document", path: openApiPath, type: "application/json", bytes };
  return documentHandler({ ...document, cacheControl: "no-cache" }, pageHeaders);
}
