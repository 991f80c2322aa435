import type { Logger } from "pino";
import type { Config } from "../config/settings.ts";
import { AuditFile } from "../telemetry/audit-file.ts";
import { AuditLog } from "../telemetry/audit-log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { orStartError } from "./start-error.ts";

export interface OpenedAudit extends AsyncDisposable {
  readonly log: AuditLog;
  /** Opens the file again, if there is one. */
  reopen(): Promise<void>;
}

/** The audit log as configured. @throws StartError when its file can't be opened */
export async function openAudit(
  { auditLog: path }: Config,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
): Promise<OpenedAudit> {
  if (path === "off" || path === "-") {
    const write = (line: string) => void process.stdout.write(line);
    return {
      log: new AuditLog(path === "-" ? write : undefined),
      async reopen() {},
      async [Symbol.asyncDispose]() {},
    };
  }
  const { countAuditFailure: countFailure } = metrics;
  const file = await orStartError(
    () => AuditFile.open({ path, log, countFailure }),
    "the audit log (--audit-log) can't be opened: ",
  );
  return {
    log: new AuditLog((line) => file.write(line)),
    reopen: () => file.reopen(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}
