import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SessionState } from "../../src/client/index.ts";
import { mainPath, runCommand, startCommand } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { FaultServer } from "../support/fault-server.ts";
import { startProcess } from "../support/process.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Outputs that can't be written, and terminals that can't be drawn on.

let server: FaultServer;
let directory: TempDir;
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  server.addFile("small.ovf", 600);
  server.addFile("disk.vmdk", 300_000);
});
afterEach(async () => {
  await server.crash();
  await directory.remove();
});

const target = () => join(directory.path, "out");
const getArgs = (...args: string[]) => ["get", "item", "--server", server.url, "-o", target(), ...args];

describe("an output that can't be written", () => {
  const lost = "downlease: the output can't be written: the disk is full (ENOSPC)\n";

  test.each([[["--json"]], [[]]])("does not end get %j, which says so at its end", async (args) => {
    const { code, stderr } = await runCommand(getArgs(...args), { outputError: "ENOSPC" });
    expect(code).toBe(7);
    expect(stderr.endsWith(lost)).toBe(true);
    expect(stderr.split(lost)).toHaveLength(2);
    expect(await readdir(target())).toEqual(["disk.vmdk", "small.ovf"]);
    expect(server.ends).toEqual(["delete"]);
  });

  test.each([[["--help"]], [["completion", "bash"]], [["complete", "--", "it"]], [["--version"]]])(
    "is a failure of %j",
    async (args) => {
      expect(await runCommand(args, { outputError: "ENOSPC" })).toEqual({
        code: 7,
        stdout: "",
        stderr: lost,
      });
    },
  );

  test("does not change the exit code of another failure", async () => {
    const outcome = await runCommand(getArgs("nofile", "--json"), { outputError: "EIO" });
    expect(outcome.code).toBe(3);
    expect(outcome.stderr).toMatch(
      /no file 'nofile'.*\ndownlease: the output can't be written: .*\(EIO\)\n$/,
    );
  });

  test("ends a command that would write forever", async () => {
    const id = await createSession();
    const args = ["sessions", "show", id, "--watch", "--interval", "0.1", "--server", server.url];
    expect(await runCommand(args, { outputError: "ENOSPC" })).toMatchObject({ code: 7, stderr: lost });
  }, 10_000);

  test("is noticed by the real program", async () => {
    const run = (args: string[]) =>
      `'${process.execPath}' '${mainPath}' ${args.join(" ")} > /dev/full; echo $?`;
    const commands = [getArgs("--json"), ["completion", "zsh"]].map(run).join("; ");
    const child = await startProcess("bash", ["-c", commands]);
    await child.exited;
    expect({ stdout: child.stdout, stderr: child.stderr }).toEqual({ stdout: "7\n7\n", stderr: lost + lost });
    expect(await readdir(target())).toEqual(["disk.vmdk", "small.ovf"]);
  });
});

describe("on a terminal that understands no control sequences", () => {
  const dumb = { isTerminal: true, env: { TERM: "dumb" } };

  test("get writes lines", async () => {
    const { code, stdout, stderr } = await runCommand(getArgs(), dumb);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^downlease: disk\.vmdk: done, 293 KiB$/m);
    expect(stdout + stderr).not.toContain("\u001b");
    // On another one it draws.
    const drawn = await runCommand(getArgs(), { ...dumb, env: { TERM: "xterm" } });
    expect(drawn.stderr).toContain("\u001b[");
  });

  test("a watch writes lines", async () => {
    const id = await createSession();
    const command = startCommand(
      ["sessions", "show", id, "--watch", "--interval", "0.1", "--server", server.url],
      dumb,
    );
    await eventually("the session", () => command.stdout.includes(`${id}  ACTIVE`));
    for (const session of server.sessions) session.state = SessionState.CANCELED;
    expect((await command.ended).code).toBe(0);
    expect(command.stdout).not.toContain("\u001b");
  });
});

/** Creates a session that the server shows. */
async function createSession(): Promise<string> {
  const { connect } = await import("../../src/client/index.ts");
  await using client = connect({ url: server.url });
  return (await client.sessions.create({ createSpec: { libraryItemId: "item" } })).downloadSessionId;
}
