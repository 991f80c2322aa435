import { checkEnvironment, type Finding } from "../../app/check.ts";
import { readConfig, withConfigFile } from "../../app/config.ts";
import { ConfigError, type ConfigSources, secretFilesIn } from "../../config/load.ts";
import type { Io } from "../io.ts";
import { Output } from "../output.ts";

/** The exit code of the worst finding. */
const exitCodes = { ok: 0, warning: 1, wrong: 2 } as const;

/** Looks at the configuration and at all that it names, and prints a line for each finding. @returns the exit code */
export async function check(
  { json = false, ...flags }: ConfigSources["flags"] & { readonly json?: boolean },
  { stdout, stderr, environment }: Io,
): Promise<number> {
  const output = new Output({ json, out: stdout, err: stderr });
  let code = 0;
  for await (const finding of findingsOf(flags, environment)) {
    const { about, status, message } = finding;
    code = Math.max(code, exitCodes[status]);
    if (json) output.json({ check: about, status, message });
    else output.lines([`${status.padEnd(8)} ${about.padEnd(13)} ${message}`]);
  }
  return code;
}

async function* findingsOf(
  flags: ConfigSources["flags"],
  environment: Io["environment"],
): AsyncGenerator<Finding> {
  const about = "configuration";
  const sources = await withConfigFile({ flags, environment });
  try {
    const config = readConfig(flags, environment, sources.file);
    yield { about, status: "ok", message: "all settings are valid" };
    yield* checkEnvironment(config, secretFilesIn(sources));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const message of error.mistakes) yield { about, status: "wrong", message };
  }
}
