/** The client library, which packages import as `@downlease/client`. */
import "./require-node.ts";

export { Code, ConnectError } from "@connectrpc/connect";
export { connect, type Downlease, type ServerOptions, type TlsOptions } from "./connect.ts";
export type { Credentials } from "./credentials.ts";
export {
  type DownloadedFile,
  type DownloadOptions,
  type DownloadResult,
  type DownloadSettings,
  downloadItem,
} from "./download.ts";
export { DownloadError, type DownloadFailure } from "./download-error.ts";
export { type FoundItem, findItem, type ItemName } from "./find-item.ts";
export type { ItemChoice } from "./item-choice.ts";
export {
  LeaseKeeper,
  type LeaseKeeperOptions,
  type LeaseLoss,
  LeaseLostError,
  type Renewal,
} from "./lease-keeper.ts";
export type { DownloadLimits } from "./limits.ts";
export type { DownloadProgress, FileProgress, FileState } from "./progress.ts";
export type { Proxies } from "./proxy.ts";
export type { ServiceClients } from "./services.ts";
export {
  PrepareStatus,
  PrepareStatusSchema,
  prepareStatusName,
  SessionState,
  SessionStateSchema,
  sessionStateName,
} from "./states.ts";
export {
  downloadToStream,
  type StreamedFile,
  type StreamOptions,
  type StreamSettings,
} from "./stream-download.ts";
