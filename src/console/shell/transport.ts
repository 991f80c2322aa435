import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

type Listener = () => void;
const signedOut = new Set<Listener>();

/** Calls back whenever a call is refused because its credentials are missing or no longer valid. */
export function onSignedOut(listener: Listener): () => void {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

const reportSignedOut: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) for (const listener of signedOut) listener();
    throw error;
  }
};

/** The service that has sent this page; the browser adds the cookie of the login session. */
export const transport = createConnectTransport({
  baseUrl: location.origin,
  useBinaryFormat: true,
  interceptors: [reportSignedOut],
});
