import { chmod, mkdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openUsersFile, parseUsers } from "../../src/auth/users-file.ts";
import { listUsers, putUser, removeUser, UsersError, userName } from "../../src/cli/users/edit-users.ts";
import { noRoles } from "../../src/domain/roles.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const password = `$scrypt$ln=4,r=8,p=1$${"A".repeat(22)}$${"B".repeat(42)}A`;
const other = `$scrypt$ln=5,r=8,p=1$${"A".repeat(22)}$${"B".repeat(42)}A`;

let directory: TempDir;
let path: string;
const warnings: string[] = [];
const errors: string[] = [];
const log = {
  warn: (message: string) => void warnings.push(message),
  error: (message: string) => void errors.push(message),
};
const closing: { close(): void }[] = [];

beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, "users");
  warnings.length = 0;
  errors.length = 0;
});
afterEach(async () => {
  for (const file of closing.splice(0)) file.close();
  await directory.remove();
});

async function open() {
  const file = await openUsersFile({ path, log, pollMs: 5 });
  closing.push(file);
  return file;
}

describe("a users file", () => {
  test("that is emptied keeps its users, and loses them with a comment", async () => {
    await writeFile(path, `alice:${password}:\n`);
    const file = await open();
    await writeFile(path, "");
    await eventually("the complaint", () => errors.some((error) => error.includes("it is empty")));
    expect([...file.value.keys()]).toEqual(["alice"]);
    await writeFile(path, "# nobody\n");
    await eventually("the removal", () => file.value.size === 0);
    await writeFile(path, "");
    await file.reload();
    expect(file.value.size).toBe(0);
  });

  test("keeps a comment when its last user is removed", async () => {
    await writeFile(path, `alice:${password}:\n`);
    await removeUser(path, userName("alice"));
    expect(await readFile(path, "utf8")).toBe("# There are no users.\n");
    expect(await listUsers(path)).toEqual([]);
  });

  test("has one user per line, with roles, and comments", () => {
    const text = `# people\r\n\nalice:${password}:admin\n  \nVSPHERE.LOCAL\\bob:${other}:\ncarol@x:${password}\ndave:${password}:storage,admin\n`;
    expect(parseUsers(text)).toEqual([
      { name: "alice", password, roles: ["admin"] },
      { name: "VSPHERE.LOCAL\\bob", password: other, roles: [] },
      { name: "carol@x", password, roles: [] },
      { name: "dave", password, roles: ["storage", "admin"] },
    ]);
    expect(parseUsers("")).toEqual([]);
  });

  test.each([
    ["alice", /^line 2: a line is name:password-hash:roles$/],
    [`alice:${password}:admin:`, /^line 2: a line is/],
    [`:${password}:`, /^line 2: the name must be/],
    [` alice:${password}:`, /^line 2: the name must be/],
    [`${"x".repeat(257)}:${password}:`, /^line 2: the name must be/],
    ["alice:secret:", /^line 2: the password must be a PHC string/],
    [`alice:${password}:root`, /^line 2: there is no role 'root', only admin and storage$/],
    [`alice:${password}:admin,Storage`, /^line 2: there is no role 'Storage'/],
    [`alice:${password}:storage,`, /^line 2: there is no role ''/],
    [`bob:${password}:`, /^line 2: the user is defined twice$/],
  ])("the error for %j names the line, without the password", (line, message) => {
    const problem = (() => {
      try {
        return parseUsers(`bob:${password}:\n${line}\n`);
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(problem).toMatch(message);
    expect(problem).not.toContain("secret");
  });
});

describe("an open users file", () => {
  test("is read again when it changes, replaced or written in place", async () => {
    await writeFile(path, `alice:${password}:\n`, { mode: 0o600 });
    const users = await open();
    const proof = users.value.get("alice")?.caller.proof;
    expect(users.value.get("alice")?.caller).toEqual({
      principal: "alice",
      roles: noRoles,
      proof: expect.stringMatching(/^user:[\w-]{22}$/),
    });
    await writeFile(`${path}.2`, `alice:${other}:admin\n`, { mode: 0o600 });
    await rename(`${path}.2`, path);
    await eventually("the replacement", () => users.value.get("alice")?.caller.roles.has("admin"));
    expect(users.value.get("alice")?.caller.proof).not.toBe(proof);
    // Not cut to nothing first: a file that is empty counts as damaged.
    await writeFile(path, "# nobody\n".padEnd((await stat(path)).size, "\n"), { flag: "r+" });
    await eventually("nobody", () => users.value.size === 0);
    expect({ warnings, errors }).toEqual({ warnings: [], errors: [] });
  });

  test("is read again when a link in its path changes", async () => {
    for (const [name, text] of [
      ["one", `alice:${password}:\n`],
      ["two", `bob:${password}:\n`],
    ] as const) {
      await mkdir(join(directory.path, name));
      await writeFile(join(directory.path, name, "users"), text, { mode: 0o600 });
    }
    const link = join(directory.path, "link");
    await symlink("one", link);
    path = join(link, "users");
    const users = await open();
    await symlink("two", `${link}.2`);
    await rename(`${link}.2`, link);
    await eventually("the other file", () => users.value.has("bob"));
  });

  test("keeps the previous users while the file is broken or gone, and logs it once", async () => {
    await writeFile(path, `alice:${password}:\n`, { mode: 0o600 });
    const users = await open();
    await writeFile(path, "broken");
    await eventually("the error", () => errors.length > 0);
    expect(users.value.has("alice")).toBe(true);
    await rename(path, `${path}.gone`);
    await eventually("the second error", () => errors.length > 1);
    expect(errors).toEqual([
      expect.stringMatching(/users is invalid; keeping the previous users: line 1: /),
      expect.stringMatching(/users is invalid; keeping the previous users: ENOENT/),
    ]);
    await writeFile(path, `bob:${password}:\n`, { mode: 0o600 });
    await eventually("the repaired file", () => users.value.has("bob"));
    expect(users.value.has("alice")).toBe(false);
    expect(errors).toHaveLength(2);
  });

  test("logs a warning when others can read it", async () => {
    await writeFile(path, "", { mode: 0o600 });
    await chmod(path, 0o644);
    await open();
    expect(warnings).toEqual([
      expect.stringMatching(/everybody on this machine can read .*users: chmod o-r/),
    ]);
  });

  test.each([
    ["that is not there", async () => {}, /ENOENT/],
    ["that is a directory", () => mkdir(path), /it is not a file|EISDIR/],
    ["that is too large", () => writeFile(path, "#".repeat(1024 * 1024 + 1)), /larger than 1048576 bytes/],
    ["that is no UTF-8", () => writeFile(path, Buffer.from([0xff, 0xfe])), /not UTF-8 text/],
    ["that is broken", () => writeFile(path, "alice"), /line 1: a line is/],
  ])("%s can't be opened", async (_, make, message) => {
    await make();
    await expect(open()).rejects.toThrow(message);
  });
});

describe("changing users", () => {
  const modeOf = async (file = path) => (await stat(file)).mode & 0o777;

  test("creates the file, and leaves other lines unchanged", async () => {
    expect(await putUser(path, { name: "alice", password, roles: [] })).toBe("added");
    expect(await modeOf()).toBe(0o600);
    await writeFile(path, `# people\nalice:${password}:`);
    expect(await putUser(path, { name: "bob", password, roles: ["admin"] })).toBe("added");
    expect(await putUser(path, { name: "alice", password: other, roles: [] })).toBe("changed");
    expect(await readFile(path, "utf8")).toBe(`# people\nalice:${other}:\nbob:${password}:admin\n`);
    await removeUser(path, "alice");
    expect(await listUsers(path)).toEqual([{ name: "bob", password, roles: ["admin"] }]);
  });

  test("takes the right to read it from others, not from its group, and keeps a link to it", async () => {
    const target = join(directory.path, "target");
    await writeFile(target, "");
    await chmod(target, 0o644);
    await symlink("target", path);
    await putUser(path, { name: "alice", password, roles: [] });
    expect(await modeOf(target)).toBe(0o640);
    expect(await readFile(target, "utf8")).toBe(`alice:${password}:\n`);
  });

  test("is refused while another command changes the file, and changes nothing", async () => {
    await writeFile(path, "");
    await writeFile(`${path}.new`, "");
    await expect(putUser(path, { name: "alice", password, roles: [] })).rejects.toThrow(
      /users\.new exists: another command/,
    );
    expect(await readFile(path, "utf8")).toBe("");
    expect(await readFile(`${path}.new`, "utf8")).toBe("");
  });

  test("of a broken file is refused, and leaves no draft", async () => {
    await writeFile(path, "broken");
    await expect(putUser(path, { name: "alice", password, roles: [] })).rejects.toThrow(UsersError);
    expect(await readFile(path, "utf8")).toBe("broken");
    await expect(stat(`${path}.new`)).rejects.toThrow(/ENOENT/);
  });

  test("that do not exist is an error", async () => {
    await expect(removeUser(path, "alice")).rejects.toThrow(UsersError);
    await writeFile(path, "");
    await expect(removeUser(path, "alice")).rejects.toThrow(/there is no user alice/);
  });

  test.each(["", "a:b", "#a", " a", "a ", "a\nb", "\0", "x".repeat(257), "\ud800"])(
    "%j is not a valid name",
    (name) => {
      expect(() => userName(name)).toThrow(UsersError);
    },
  );
});
