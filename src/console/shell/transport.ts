import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { noteServiceTime } from "./service-clock.ts";

type Listener = () => void;
const signedOut = new Set<Listener>();

/** Calls back whenever a call is refused because its credentials are missing or no longer valid. */
export function onSignedOut(listener: Listener): () => void {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

const noteTime: Interceptor = (next) => async (request) => {
  const sentAt = Date.now();
  const response = await next(request);
  noteServiceTime(response.header.get("date"), sentAt, Date.now());
  return response;
};

const reportSignedOut: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) for (const listener of signedOut) listener();
    throw error;
  }
};

/**
 * The service that has sent this page; the browser adds the cookie of the login session. gRPC-Web, because its refusals
 * have status 200: browsers report any other one as an error of the page.
 */
export const transport = createGrpcWebTransport({
  baseUrl: location.origin,
  interceptors: [reportSignedOut, noteTime],
});
