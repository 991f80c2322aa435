/** The part of the client library that runs in browsers, which packages import as `@downlease/client/browser`. */
import { createConnectTransport } from "@connectrpc/connect-web";
import { type Credentials, checkCredentials, serverUrl } from "./credentials.ts";
import { openClients, type ServiceClients } from "./services.ts";

export { Code, ConnectError } from "@connectrpc/connect";
export {
  FileInfo_PrepareStatus as PrepareStatus,
  FileInfo_PrepareStatusSchema as PrepareStatusSchema,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
export {
  DownloadSessionModel_State as SessionState,
  DownloadSessionModel_StateSchema as SessionStateSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
export type { Credentials } from "./credentials.ts";
export { type FoundItem, findItem, type ItemName } from "./find-item.ts";
export {
  LeaseKeeper,
  type LeaseKeeperOptions,
  type LeaseLoss,
  LeaseLostError,
  type Renewal,
} from "./lease-keeper.ts";
export type { ServiceClients } from "./services.ts";
export { prepareStatusName, sessionStateName } from "./state-names.ts";

/** That of the page; the types of Node.js do not have it. */
declare const location: { readonly origin: string } | undefined;

/** The address of a server, and the credentials of its caller. Without credentials the browser sends its cookies. */
export interface BrowserOptions extends Credentials {
  /** `http://` or `https://`, with a base path if the service has one; the origin of the page by default. */
  readonly url?: string;
  /** Whether cookies are sent, as `fetch` takes it; `same-origin` by default. */
  readonly cookies?: "include" | "omit" | "same-origin";
}

/** Clients for the services of a server, over the Connect protocol. */
export interface BrowserClients extends ServiceClients, AsyncDisposable {
  readonly url: string;
  /** Closes the login session, if the clients have opened one. */
  close(): Promise<void>;
}

/**
 * Creates clients for a server. Nothing is sent before the first call.
 *
 * @throws TypeError if the options contradict each other or `url` is invalid
 */
export function connect(options: BrowserOptions = {}): BrowserClients {
  const url = serverUrl(options.url ?? originOfPage());
  checkCredentials(options);
  const credentials = options.cookies ?? "same-origin";
  const { clients, logOut } = openClients(
    (interceptors) =>
      createConnectTransport({
        baseUrl: url,
        interceptors,
        fetch: (input, init) => fetch(input, { ...init, credentials }),
      }),
    options,
  );
  return { url, ...clients, close: logOut, [Symbol.asyncDispose]: logOut };
}

function originOfPage(): string {
  if (typeof location === "undefined") throw new TypeError("set url: there is no page to take it from");
  return location.origin;
}
