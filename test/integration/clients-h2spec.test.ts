import { expect, test } from "vitest";
import { h2spec, reasonAgainstTools } from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";
import { startService } from "../support/service.ts";

/** Cases that fail, by section and number; docs/rpc.md says why. */
const known = [
  "http2/3.5 2",
  "http2/5.1 8",
  "http2/5.1 9",
  "http2/5.1 11",
  "http2/5.1 12",
  "http2/5.1.1 2",
  "http2/5.3.1 2",
  "http2/6.3 1",
  "http2/6.7 2",
  "http2/6.9.1 3",
];

const name = "h2spec passes but for the listed cases";
const reason = reasonAgainstTools([h2spec]);

test.skipIf(reason !== undefined)(
  reason === undefined ? name : `${name} (skipped: ${reason})`,
  { timeout: 120_000 },
  async () => {
    await using service = await startService([]);
    const to = ["-h", "127.0.0.1", "-p", String(service.port), "-P", "/readyz", "-o", "2"];
    const { stdout } = await finished(to);
    process.stdout.write(`h2spec: ${/^\d+ tests,.*$/m.exec(stdout)?.[0]}\n`);
    expect(stdout).toMatch(/^14\d tests, \d+ passed/m);
    expect(failuresIn(stdout)).toEqual(known);
  },
);

async function finished(args: readonly string[]) {
  const process = await startProcess(h2spec.path, args);
  await process.exited;
  return process;
}

/** From the report at the end: titles of groups with their sections, and under them the cases. */
function failuresIn(output: string): string[] {
  const failures: string[] = [];
  let group = "";
  let section = "";
  for (const line of output.slice(output.indexOf("Failures:")).split("\n")) {
    const [, title] = /^ *(\d[\d.]*)\. [A-Z]/.exec(line) ?? [];
    const [, failed] = /× (\d+):/.exec(line) ?? [];
    if (/^(Generic|Hypertext|HPACK)/.test(line)) group = line.startsWith("Hypertext") ? "http2" : line.trim();
    if (title !== undefined) section = title;
    if (failed !== undefined) failures.push(`${group}/${section} ${failed}`);
  }
  return failures;
}
