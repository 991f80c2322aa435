import type { Logger } from "pino";
import type { Config } from "../config/settings.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import { PrepareAhead } from "../preparation/prepare-ahead.ts";
import { SharedPreparations } from "../preparation/shared-preparations.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { preparationObserver } from "../telemetry/preparation-observer.ts";

interface Parts {
  readonly backend: Pick<Backend, "preparations">;
  readonly content: ContentSource;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Prepares files, and those that nobody has requested as configured, until the stack is disposed of. */
export function openPreparations(
  { prepareAhead }: Config,
  { backend, content, metrics, log }: Parts,
  opened: AsyncDisposableStack,
): SharedPreparations {
  const observer = preparationObserver(metrics, log);
  const preparations = new SharedPreparations({ store: backend.preparations, content, observer });
  opened.defer(() => preparations.close());
  if (prepareAhead !== "off") {
    const ahead = new PrepareAhead({ content, preparations, which: prepareAhead });
    opened.defer(() => ahead.close());
  }
  return preparations;
}
