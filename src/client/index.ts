/** The client library, which packages import as `downlease/client`. */
import "./require-node.ts";

export { Code, ConnectError } from "@connectrpc/connect";
export { FileInfo_PrepareStatus as PrepareStatus } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
export { DownloadSessionModel_State as SessionState } from "../../gen/content/library/item/v1/download_session_pb.ts";
export { connect, type Downlease, type ServerOptions, type TlsOptions } from "./connect.ts";
export { type DownloadedFile, type DownloadOptions, type DownloadResult, downloadItem } from "./download.ts";
export { DownloadError, type DownloadFailure } from "./download-error.ts";
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
export { downloadToStream, type StreamedFile, type StreamOptions } from "./stream-download.ts";
