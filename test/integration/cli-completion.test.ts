import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { mainPath, runCommand } from "../support/command.ts";
import { startHostileServer } from "../support/hostile-server.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Some tests start several processes one after the other, each of which takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let directory: TempDir;
let service: Service;

beforeAll(async () => {
  directory = await tempDir();
  service = await startService([]);
  const { stdout } = await runCommand(["completion", "bash"]);
  await writeFile(join(directory.path, "script.bash"), stdout);
});
afterAll(async () => {
  await service.stop();
  await directory.remove();
});

/** The completions that the program prints for the last word. */
async function completions(words: readonly string[], server = service.url): Promise<string[]> {
  const { code, stdout, stderr } = await runCommand(["complete", "--", ...words], {
    env: { DOWNLEASE_SERVER: server },
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.trimEnd().split("\n");
}

const values = (lines: readonly string[]) => lines.map((line) => line.split("\t")[0]);

describe("complete", () => {
  test.each([
    [
      [""],
      [
        "serve",
        "check",
        "backup",
        "get",
        "items",
        "sessions",
        "login",
        "logout",
        "servers",
        "admin",
        "completion",
        "users",
        "health",
        "version",
        "help",
        ":4",
      ],
    ],
    [["--ser"], ["--server", ":4"]],
    [
      ["--server", "x", "sess"],
      ["sessions", ":4"],
    ],
    [
      ["get", "x", "--lim"],
      ["--limit-rate", ":4"],
    ],
    [
      ["sessions", "--state", ""],
      ["ACTIVE", "CANCELED", "ERROR", ":4"],
    ],
    [["sess"], ["sessions", ":4"]],
    [
      ["sessions", "k"],
      ["keep-alive", ":4"],
    ],
    [
      ["get", "x", "--par"],
      ["--parallel", ":4"],
    ],
    [
      ["serve", "--lease"],
      ["--lease-seconds", ":4"],
    ],
    [
      ["completion", ""],
      ["bash", "zsh", "fish", "powershell", ":4"],
    ],
    // The shell completes file names.
    [["get", "x", "--output", ""], [":0"]],
    [["users", "list", "--users-file", "a"], [":0"]],
    [["check", "--config", ""], [":0"]],
    [["backup", ""], [":0"]],
  ])("%j", async (words, expected) => {
    expect(values(await completions(words))).toEqual(expected);
  });

  test.each([
    [
      ["get", ""],
      ["photon", "tools-iso", ":4"],
    ],
    [
      ["get", "demo/p"],
      ["demo/photon", ":4"],
    ],
    [
      ["get", "photon", ""],
      ["photon-disk1.vmdk", "photon.ovf", ":4"],
    ],
    [
      ["items", "show", "t"],
      ["tools-iso", ":4"],
    ],
    [
      ["items", "d"],
      ["demo", ":4"],
    ],
    [
      ["sessions", "list", "--item", "ph"],
      ["photon", ":4"],
    ],
    [
      ["sessions", "--item", "ph"],
      ["photon", ":4"],
    ],
    // Values of options are no operands.
    [
      ["--patience", "9", "get", "--parallel", "2", "photon", "photon."],
      ["photon.ovf", ":4"],
    ],
  ])("%j from the server", async (words, expected) => {
    expect(values(await completions(words))).toEqual(expected);
  });

  test("sessions with item and state", async () => {
    const answer = await fetch(`${service.url}/api/content/library/item/download-session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ library_item_id: "photon" }),
    });
    const id = await answer.json();
    expect(await completions(["sessions", "cancel", ""])).toContain(`${id}\tdemo/photon ACTIVE`);
  });

  test("names of servers", async () => {
    const list = { servers: { prod: { url: service.url }, "../x": { url: "y" } } };
    const config = join(directory.path, "config");
    await mkdir(join(config, "downlease"), { recursive: true });
    const path = join(config, "downlease", "servers.json");
    const env = { XDG_CONFIG_HOME: config };
    const complete = (words: string[]) => runCommand(["complete", "--", ...words], { env });
    await writeFile(path, JSON.stringify(list));
    expect((await complete(["--server", ""])).stdout).toBe(":4\n");
    await writeFile(path, JSON.stringify({ servers: { prod: { url: service.url } } }));
    for (const words of [
      ["--server", "p"],
      ["items", "--server", ""],
      ["servers", "remove", ""],
    ]) {
      expect((await complete(words)).stdout).toBe(`prod\t${service.url}\n:4\n`);
    }
    expect(values((await complete(["--server", "prod", "get", "ph"])).stdout.trimEnd().split("\n"))).toEqual([
      "photon",
      ":4",
    ]);
  });

  test("the server is the one on the command line", async () => {
    const words = ["get", "--server", service.url, "ph"];
    expect(values(await completions(words, "http://127.0.0.1:1"))).toEqual(["photon", ":4"]);
  });

  test.each([
    ["cannot be reached", "http://127.0.0.1:1"],
    ["has no valid URL", "nonsense"],
  ])("nothing, and no message, from a server that %s", async (_, server) => {
    expect(await completions(["get", ""], server)).toEqual([":4"]);
  });
});

describe("the script for bash", () => {
  /**
   * Completes a line in bash, as the key does, and returns what bash offers.
   *
   * @param complete shell command that answers `downlease complete`
   */
  async function completed(line: string, complete: string, env: NodeJS.ProcessEnv = {}): Promise<string[]> {
    await writeFile(
      join(directory.path, "downlease"),
      `#!/bin/sh\ncase $1 in completion) exec cat '${directory.path}/script.bash' ;; *) ${complete} ;; esac\n`,
      { mode: 0o755 },
    );
    const script = [
      "set -u",
      // A shell may read its start files twice.
      "source <(downlease completion bash); source <(downlease completion bash)",
      "COMP_LINE=$1 COMP_POINT=$" + "{#1}",
      "COMP_WORDS=($1); [[ $1 == *' ' ]] && COMP_WORDS+=('')",
      "COMP_CWORD=$" + "{#COMP_WORDS[@]}; COMP_CWORD=$((COMP_CWORD - 1))",
      "_downlease_completion",
      'printf "%s\\n" "$' + '{COMPREPLY[@]}"',
    ].join("\n");
    const child = await startProcess("bash", ["-c", script, "bash", line], {
      env: { PATH: `${directory.path}:${process.env.PATH}`, ...env },
      cwd: directory.path,
    });
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(child.stderr).toBe("");
    return child.stdout.split("\n").filter(Boolean);
  }

  test("completes commands, options and names", async () => {
    const program = `exec '${process.execPath}' '${mainPath}' "$@"`;
    const env = { DOWNLEASE_SERVER: service.url };
    expect(await completed("downlease it", program, env)).toEqual(["items"]);
    expect(await completed("downlease get --outp", program, env)).toEqual(["--output"]);
    expect(await completed("downlease get ", program, env)).toEqual(["photon", "tools-iso"]);
    const elsewhere = { DOWNLEASE_SERVER: "http://127.0.0.1:1" };
    expect(await completed(`downlease get --server ${service.url} demo/t`, program, elsewhere)).toEqual([
      "demo/tools-iso",
    ]);
  });

  const hostileNames = [
    "$(touch pwned)",
    "`touch pwned`",
    "x;touch pwned",
    "--output=/",
    "a b",
    "~root",
    "*",
    "$HOME",
    "\x1b[2J",
  ];

  async function expectUntouched(): Promise<void> {
    expect(await readdir(directory.path)).not.toContain("pwned");
  }

  test.each(hostileNames)("a server that has an item called %j makes it do nothing", async (name) => {
    await using server = await startHostileServer(name);
    const answers = join(directory.path, "answers");
    for (const words of [["get"], ["sessions", "show"]]) {
      const printed = (await completions([...words, ""], server.url)).map((line) => `${line}\n`).join("");
      await writeFile(answers, printed);
      expect(await completed(`downlease ${words.join(" ")} `, `exec cat '${answers}'`)).toEqual([]);
    }
    await expectUntouched();
  });

  test("evaluates no candidate, even if the program printed hostile ones", async () => {
    const answers = join(directory.path, "answers");
    await writeFile(answers, `${hostileNames.join("\n")}\n:4\n`);
    expect(await completed("downlease get ", `exec cat '${answers}'`)).toEqual(hostileNames);
    await expectUntouched();
  });
});

test.each([
  ["bash", "bash", ["-n"]],
  ["zsh", "zsh", ["-n"]],
  ["fish", "fish", ["--no-execute"]],
  [
    "powershell",
    "pwsh",
    ["-NoProfile", "-Command", "$null = [ScriptBlock]::Create((Get-Content -Raw $args[0]))"],
  ],
] as const)("the script for %s is valid, where that shell is installed", async (shell, command, args) => {
  const { code, stdout, stderr } = await runCommand(["completion", shell]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("downlease complete -- ");
  const path = join(directory.path, `script.${shell}`);
  await writeFile(path, stdout);
  const parsed = await startProcess(command, [...args, path]).catch((error) => {
    if (shell !== "bash" && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (parsed === undefined) return;
  expect(await parsed.exited).toEqual({ code: 0, signal: null });
  expect(parsed.stderr).toBe("");
});

test("there is a script for these shells only", async () => {
  expect(await runCommand(["completion", "tcsh"])).toMatchObject({ code: 2, stdout: "" });
  expect(await runCommand(["completion"])).toMatchObject({ code: 2, stdout: "" });
});
