import { stat } from "node:fs/promises";
import { BackupError, backUpStore } from "../../app/backup.ts";
import { withConfigFile } from "../../app/config.ts";
import { ConfigError, type ConfigSources } from "../../config/load.ts";
import { CliError } from "../failure.ts";
import type { Output } from "../output.ts";
import type { LocalTask } from "../run.ts";
import { bytes } from "../text.ts";

/** Copies the SQLite file that the settings name. */
export async function backUp({
  flags,
  operands,
  io,
  output,
}: LocalTask<ConfigSources["flags"]>): Promise<void> {
  const [file = ""] = operands;
  const progress = new ProgressLine(output);
  try {
    const sources = await withConfigFile({ flags, environment: io.environment });
    await backUpStore(sources, file, (part) => progress.show(part));
  } catch (error) {
    throw explained(error);
  } finally {
    progress.clear();
  }
  const { size } = await stat(file);
  if (output.isJson) output.json({ file, bytes: size });
  else output.lines([`${file}  ${bytes(size)}`]);
}

function explained(error: unknown): unknown {
  if (error instanceof ConfigError) return new CliError("usage", error.message);
  if (error instanceof BackupError) return new CliError(error.isElsewhere ? "usage" : "disk", error.message);
  return error;
}

/** The part that is copied, on a terminal. */
class ProgressLine {
  readonly #output: Output;
  #shown = "";

  constructor(output: Output) {
    this.#output = output;
  }

  show(part: number): void {
    const text = `${Math.floor(part * 100)} %`;
    if (!this.#output.isDrawable || text === this.#shown) return;
    this.#shown = text;
    this.#output.raw(`\r${text} copied`);
  }

  clear(): void {
    if (this.#shown !== "") this.#output.raw("\r\u001b[K");
  }
}
