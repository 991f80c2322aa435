import type { HttpRequest } from "./http.ts";

/** Reads and drops what is left of a request body that nobody needs: unread, it would block the connection. */
export function discardBody(request: HttpRequest): void {
  request.resume();
}
