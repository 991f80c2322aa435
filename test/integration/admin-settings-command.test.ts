import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { runCommand, startCommand, startOnTerminal } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";

let app: TestApp;
beforeEach(async () => {
  app = await startTestApp({ leaseSeconds: 120 });
});
afterEach(() => app.stop());

const settings = (...args: string[]) => runCommand(["admin", "settings", ...args, "--server", app.url]);
const row = (output: string, name: string) => output.split("\n").find((line) => line.startsWith(name));

test("settings are shown, changed and taken back", async () => {
  const { stdout } = await settings();
  expect(row(stdout, "SETTING")).toMatch(/^SETTING +VALUE +SOURCE +RANGE +MEANING$/);
  expect(row(stdout, "lease_seconds")).toMatch(
    / 120 seconds +flag +0\.001 to 2592000 +lifetime of a session/,
  );
  expect(row(stdout, "log_level")).toMatch(/ info +default +trace, debug/);
  expect(await settings("set", "lease_seconds=60", "max-calls=7", "--yes")).toEqual({
    code: 0,
    stdout: "lease_seconds: 120 → 60 seconds\nmax_calls: 1000 → 7\nchanged; version 1\n",
    stderr: "",
  });
  expect(row((await settings("show")).stdout, "lease_seconds")).toContain(" 60 seconds  changed, first 120 ");
  const reset = await settings("reset", "lease_seconds", "--yes", "--json");
  const { version, settings: after } = JSON.parse(reset.stdout);
  expect([version, after.find(({ name }: { name: string }) => name === "lease_seconds")]).toEqual([
    2,
    {
      ...{ name: "lease_seconds", value: "120", source: "flag", first_value: "120", unit: "seconds" },
      ...{ min: 0.001, max: 2592000, description: "lifetime of a session without a keep-alive" },
    },
  ]);
});

test.each([
  [["set", "max_calls"], /^downlease: max_calls: must be name=value\n$/],
  [["set", "max_calls=1", "max-calls=2", "--yes"], /max_calls is set twice/],
  [["set", "max_calls=many", "--yes"], /max_calls must be a whole number, not 'many'/],
  [["set", "lease_seconds=long", "--yes"], /lease_seconds must be a number, not 'long'/],
  [["set", "max_call=5", "--yes"], /there is no setting max_call; the settings are .*max_calls/],
  [["set", "max_calls=0", "lease_seconds=NaN", "--yes"], /'lease_seconds' must .*'max_calls' must .*Nothing/],
  [["reset", "max_call", "--yes"], /did you mean 'max_calls'/],
  [["set", "max_calls=5"], /nobody can be asked on this input: confirm with --yes/],
  [["sett"], /unknown command 'sett'/],
])("%j is refused, and changes nothing", async (args, message) => {
  const { code, stderr } = await settings(...args);
  expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  expect(JSON.parse((await settings("--json")).stdout).version).toBe(0);
});

test("a change is confirmed on a terminal, and is none when others were faster", async () => {
  const question = "Change the settings of the whole service? [y/N] ";
  const asked = async () => {
    const child = await startOnTerminal(["admin", "settings", "set", "max_calls=5", "--server", app.url]);
    await eventually("the question", () => child.stdout.includes(question), { withinMs: 15_000 });
    expect(child.stdout).toContain("max_calls: 1000 → 5\r\n");
    return child;
  };
  const [declined, late] = await Promise.all([asked(), asked()]);
  declined.type("n\n");
  expect([(await declined.exited).code, declined.stdout]).toEqual([
    1,
    expect.stringContaining("nothing was changed"),
  ]);
  await settings("set", "max_transfers=9", "--yes");
  late.type("y\n");
  expect([(await late.exited).code, late.stdout]).toEqual([
    1,
    expect.stringContaining("somebody else has changed settings meanwhile. Nothing was changed"),
  ]);
  expect(row((await settings()).stdout, "max_calls")).toMatch(/ 1000 +default/);
}, 60_000);

test("changes of others appear while the settings are watched", async () => {
  const watching = startCommand(["admin", "settings", "--watch", "--interval", "0.1", "--server", app.url]);
  await eventually("the settings", () => watching.stdout.includes("max_calls  1000  default\n"));
  await settings("set", "max_calls=8", "--yes");
  await eventually("the change", () => watching.stdout.endsWith("max_calls  8  changed, first 1000\n"));
  watching.signal("SIGINT");
  expect((await watching.ended).code).toBe(130);
});
