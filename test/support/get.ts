import { createHash, randomFillSync } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { eventually } from "./eventually.ts";
import { type Exit, startProcess } from "./process.ts";

/** A line of `downlease get --json`; see docs/cli.md. */
export interface GetEvent {
  readonly event: "item" | "file" | "notice" | "progress" | "result" | "error";
  readonly [fact: string]: unknown;
}

export interface GetEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly events: readonly GetEvent[];
  readonly stderr: string;
}

/** `downlease get`, the real program in its own process. */
export interface Get extends AsyncDisposable {
  readonly pid: number;
  /** Its events so far. */
  readonly events: readonly GetEvent[];
  readonly exit: Exit | undefined;
  /** Resolves with the first event of this kind with these members. */
  reports(event: GetEvent["event"], facts?: Readonly<Record<string, unknown>>): Promise<GetEvent>;
  /** Resolves with the exit and the output. Rejects if it does not end in time. */
  ended(withinMs?: number): Promise<GetEnd>;
  signal(signal: NodeJS.Signals): void;
  kill(): Promise<void>;
}

export interface GetOptions {
  readonly args?: readonly string[];
  /** Command and arguments that start the program. */
  readonly prefix?: readonly string[];
}

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** @param directory for the files */
export async function startGet(
  url: string,
  item: string,
  directory: string,
  { args = [], prefix = [] }: GetOptions = {},
): Promise<Get> {
  const own = Object.keys(process.env).filter((name) => name.startsWith("DOWNLEASE_"));
  // On a loaded machine it would choose several, which only some tests are about. The last one counts.
  const always = ["--server", url, "-o", directory, "--json", "--connections", "1"];
  const command = [process.execPath, main, "get", item, ...always, ...args];
  const [first, ...rest] = [...prefix, ...command];
  const program = await startProcess(first!, rest, {
    env: Object.fromEntries(own.map((name) => [name, undefined])),
  });
  const events = () => program.stdout.split("\n").flatMap(parsed);
  const lastOutput = () => `${program.stdout.slice(-2_000)}${program.stderr.slice(-2_000)}`;
  return {
    pid: program.pid,
    get events() {
      return events();
    },
    get exit() {
      return program.exit;
    },
    async reports(event, facts = {}) {
      return await eventually(
        `the event "${event}" ${JSON.stringify(facts)} of get`,
        () => {
          const match = events().find((each) => each.event === event && holds(each, facts));
          if (match === undefined) throw new Error(`its output is ${lastOutput()}`);
          return match;
        },
        { withinMs: 20_000 },
      );
    },
    async ended(withinMs = 60_000) {
      const { code, signal } = await eventually(
        "the end of get",
        () => {
          if (program.exit === undefined) throw new Error(`its output is ${lastOutput()}`);
          return program.exit;
        },
        { withinMs },
      );
      return { code, signal, events: events(), stderr: program.stderr };
    },
    signal: (signal) => program.signal(signal),
    kill: () => program.kill(),
    [Symbol.asyncDispose]: () => program.kill(),
  };
}

function holds(event: GetEvent, facts: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(facts).every(([name, value]) => event[name] === value);
}

/** The last line may be incomplete. */
function parsed(line: string): GetEvent[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

/** An item of a library on disk, of random bytes. */
export interface TestItem {
  readonly id: string;
  /** SHA-256 by file name, in hexadecimal. */
  readonly checksums: Readonly<Record<string, string>>;
}

/**
 * Creates an item of a library below `root`, or changes one.
 *
 * @param files sizes in bytes, by name
 * @param inPlace overwrite existing files instead of replacing them
 */
export async function writeItem(
  root: string,
  id: string,
  files: Readonly<Record<string, number>>,
  { inPlace = false } = {},
): Promise<TestItem> {
  const folder = join(root, "lib", id);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, ".item.json"), JSON.stringify({ id }));
  const checksums: Record<string, string> = {};
  for (const [name, size] of Object.entries(files)) {
    const bytes = randomFillSync(Buffer.allocUnsafe(size));
    const path = join(folder, name);
    const draft = inPlace ? path : join(folder, `.${name}.new`);
    await writeFile(draft, bytes, { flag: inPlace ? "r+" : "w" });
    if (!inPlace) await rename(draft, path);
    checksums[name] = sha256(bytes);
  }
  return { id, checksums };
}

/** Expects every file of the item with its right bytes, and nothing else. */
export async function expectWhole(directory: string, { checksums }: TestItem): Promise<void> {
  expect((await readdir(directory)).sort()).toEqual(Object.keys(checksums).sort());
  expect(await checksumsIn(directory, checksums)).toEqual(checksums);
}

/** Expects that no file has its final name with wrong bytes. @returns the names of the files that exist */
export async function expectNothingWrong(directory: string, { checksums }: TestItem): Promise<string[]> {
  const actual = await checksumsIn(directory, checksums);
  expect(checksums).toMatchObject(actual);
  return Object.keys(actual);
}

async function checksumsIn(
  directory: string,
  checksums: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const names = (await readdir(directory).catch(() => [])).filter((name) => name in checksums);
  const actual: Record<string, string> = {};
  for (const name of names) actual[name] = sha256(await readFile(join(directory, name)));
  return actual;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
