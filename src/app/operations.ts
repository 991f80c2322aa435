import type { Authentication } from "../auth/authenticator.ts";
import { loginOpener } from "../auth/proven-caller.ts";
import type { Operations } from "../calls/pipeline.ts";
import type { SessionClients } from "../calls/session-clients.ts";
import type { Config } from "../config/settings.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import type { Settings } from "../domain/settings.ts";
import { adminAuditOperations } from "../operations/admin/audit.ts";
import { adminLoginOperations } from "../operations/admin/logins.ts";
import { overviewOperations } from "../operations/admin/overview.ts";
import { SessionInfos } from "../operations/admin/session-info.ts";
import { adminSessionOperations } from "../operations/admin/sessions.ts";
import { settingsOperations } from "../operations/admin/settings.ts";
import { watchOperations } from "../operations/admin/watch.ts";
import { configurationOperations } from "../operations/configuration.ts";
import { downloadSessionOperations } from "../operations/download-session.ts";
import { type SessionFileParts, sessionFileOperations } from "../operations/download-session-file.ts";
import { itemStorageOperations } from "../operations/item-storage.ts";
import { libraryOperations } from "../operations/library.ts";
import { loginOperations } from "../operations/login.ts";
import { metadataOperations } from "../operations/metadata.ts";
import { vsphereOperations } from "../operations/vsphere.ts";
import { SessionFeed } from "../session-feed/session-feed.ts";
import type { AuditLog } from "../telemetry/audit-log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Replicas } from "./replicas.ts";

export interface OperationParts extends Pick<SessionFileParts, "preparations" | "linkFor"> {
  readonly backend: Backend;
  readonly content: ContentSource;
  readonly settings: Settings;
  readonly metrics: Metrics;
  readonly replicas: Replicas;
  readonly clients: SessionClients;
  readonly authentication: Pick<Authentication, "users">;
  readonly audit: Pick<AuditLog, "entries">;
}

/** The table of all operations. */
export function openOperations(config: Config, parts: OperationParts): Operations {
  const { backend, content, settings, preparations, linkFor, metrics, replicas, clients } = parts;
  const { sessions, sessionFiles: files, sessionRecords: records, logins } = backend;
  const { values } = settings;
  const unverifiedAfterMs = () => (config.verifyFirst ? Number.POSITIVE_INFINITY : values.prepareMs);
  const { countKeepAlive } = metrics;
  const { unary, streams } = downloadSessionOperations({ store: sessions, content, countKeepAlive, clients });
  const infos = new SessionInfos({ content, leaseTerms: values });
  const operations = [
    ...unary,
    ...sessionFileOperations({ sessions, files, content, preparations, linkFor, unverifiedAfterMs, clients }),
    ...adminLoginOperations({ logins, users: () => parts.authentication.users.entries() }),
    ...adminAuditOperations({ entries: () => parts.audit.entries() }),
    ...loginOperations({ logins, openLogin: loginOpener(logins, values) }),
    ...libraryOperations(content),
    ...configurationOperations({ settings }),
    ...itemStorageOperations(content),
    ...vsphereOperations(content),
    ...overviewOperations({
      backend,
      content,
      own: () => replicas.own,
      history: () => replicas.history,
      isWritable: metrics.store.isWritable,
    }),
    ...settingsOperations(settings),
    ...adminSessionOperations({ sessions, records, infos }),
  ];
  const { sessionChanges: changes, watchEnds } = backend;
  const feed = new SessionFeed({ records, changes, watchEnds });
  const serverStreams = watchOperations({ feed, infos, settings });
  return { unary: [...operations, ...metadataOperations(operations)], streams, serverStreams };
}
