import { loginOpener } from "../auth/proven-caller.ts";
import type { Operations } from "../calls/pipeline.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import { downloadSessionOperations } from "../operations/download-session.ts";
import { type SessionFileParts, sessionFileOperations } from "../operations/download-session-file.ts";
import { itemStorageOperations } from "../operations/item-storage.ts";
import { libraryOperations } from "../operations/library.ts";
import { loginOperations } from "../operations/login.ts";
import { vsphereOperations } from "../operations/vsphere.ts";
import type { Metrics } from "../telemetry/metrics.ts";

export interface OperationParts extends Pick<SessionFileParts, "preparations" | "linkFor"> {
  readonly backend: Backend;
  readonly content: ContentSource;
  readonly metrics: Metrics;
  /** See `loginOpener`. */
  readonly loginsPerPrincipal: number;
}

/** The table of all operations. */
export function openOperations(parts: OperationParts): Operations {
  const { backend, content, preparations, linkFor, metrics, loginsPerPrincipal } = parts;
  const { sessions, sessionFiles, logins } = backend;
  const { countKeepAlive } = metrics;
  const { unary, streams } = downloadSessionOperations({ store: sessions, content, countKeepAlive });
  return {
    unary: [
      ...unary,
      ...sessionFileOperations({ sessions, files: sessionFiles, content, preparations, linkFor }),
      ...loginOperations({ logins, openLogin: loginOpener(logins, loginsPerPrincipal) }),
      ...libraryOperations(content),
      ...itemStorageOperations(content),
      ...vsphereOperations(content),
    ],
    streams,
  };
}
