import type { Logger } from "pino";
import type { Admission } from "../calls/admission.ts";
import type { Program } from "../cluster/worker.ts";
import type { Config } from "../config/settings.ts";
import type { Backend } from "../domain/backend.ts";
import { Settings, type SettingsChange, type SettingsUpdate } from "../domain/settings.ts";
import type { SettingValues } from "../domain/settings-schema.ts";
import type { DownloadService } from "../downloads/download-service.ts";

/** What does not read the values at each use, and has to be called when they change. */
interface Parts {
  readonly backend: Pick<Backend, "settings">;
  readonly admission: Admission;
  readonly downloads: Pick<DownloadService, "setMaxDownloads">;
  readonly log: Logger;
  readonly program: Program | undefined;
}

/**
 * The settings that may change while the service runs, until they are closed.
 *
 * @param values those of `firstValues`, which the parts of the service read
 */
export async function openSettings(
  { changeable, logLevel }: Config,
  values: SettingValues,
  { backend, admission, downloads, log, program }: Parts,
): Promise<Settings> {
  const settings = await Settings.open({
    store: backend.settings,
    schema: changeable,
    values,
    onChange: (change) => logChange(change, log),
    onUpdate: (update) => logUpdate(update, log),
  });
  let level = logLevel;
  settings.follow(({ maxCalls, maxTransfers, logLevel: current }) => {
    admission.setLimit(maxCalls);
    downloads.setMaxDownloads(maxTransfers);
    if (current === level) return;
    level = current;
    log.level = current;
    program?.reportLogLevel(current);
  });
  return settings;
}

/** JSON has no undefined: a change that is taken back is null. */
function logUpdate({ changes, ...update }: SettingsUpdate, log: Logger): void {
  const texts = Object.entries(changes).map(([name, text]) => [name, text ?? null]);
  log.info({ ...update, changes: Object.fromEntries(texts) }, "settings were updated");
}

function logChange({ version, changed, ignored }: SettingsChange, log: Logger): void {
  if (ignored.length > 0) {
    log.warn({ version, ignored }, "stored settings that this release does not accept are ignored");
  }
  if (Object.keys(changed).length > 0) log.info({ version, ...changed }, "settings have changed");
}
