import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loginHeader } from "../../src/calls/credentials.ts";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { download } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { linkTo } from "../support/links.ts";
import { addItem, openSession } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer } from "../support/tokens.ts";

const hash = cheapHash("secret");

type Headers = Readonly<Record<string, string>>;

describe.each(storeKinds)("a user who is removed, %s", (kind: StoreKind) => {
  let directory: TempDir;
  let issuer: Awaited<ReturnType<typeof newIssuer>>;
  /** Two replicas, each with a file of users of its own. */
  const apps: TestApp[] = [];
  const names = ["early", "late"] as const;
  const users = Object.fromEntries(
    ["bob", "carol", "dave"].map((name) => [name, `${name} ${crypto.randomUUID()}`]),
  ) as Record<"bob" | "carol" | "dave", string>;

  const pathOf = (name: string) => join(directory.path, name);

  async function writeUsers(file: string, ...list: string[]): Promise<void> {
    const lines = list.map((name) => `${name}:${hash}:\n`).join("");
    await writeFile(`${pathOf(file)}.new`, lines, { mode: 0o600 });
    await rename(`${pathOf(file)}.new`, pathOf(file));
  }

  beforeAll(async () => {
    directory = await tempDir();
    issuer = await newIssuer();
    const jwtJwks = pathOf("jwks.json");
    await writeFile(jwtJwks, JSON.stringify(issuer.jwks));
    const { issuer: jwtIssuer, audience: jwtAudience } = issuer;
    const shared = kind === "SQLite" && { sqlitePath: pathOf("sessions.db") };
    for (const name of names) {
      await writeUsers(name, users.bob, users.carol);
      const contentRoot = apps[0]?.contentRoot;
      const limits = { loginFailuresPerUser: "0", loginFailuresPerAddress: "0" };
      const settings = { usersFile: pathOf(name), jwtJwks, jwtIssuer, jwtAudience, ...limits, ...shared };
      apps.push(
        await startTestApp({ store: kind, settings: { ...settings, ...(contentRoot && { contentRoot }) } }),
      );
    }
  });
  afterAll(async () => {
    for (const app of apps.toReversed()) await app.stop();
    await directory.remove();
  });

  async function logIn(app: TestApp, name: string): Promise<Headers> {
    const headers = { authorization: basic(name, "secret") };
    const response = await fetch(`${app.url}/api/session`, { method: "POST", headers });
    return { [loginHeader]: (await response.json()) as string };
  }

  async function open(app: TestApp, headers: Headers): Promise<{ session: string; link: string }> {
    const itemId = await addItem(apps[0]!.contentRoot, { "disk.bin": "content" });
    const session = await openSession(app.url, itemId, headers);
    return { session, link: await linkTo(app.url, session, "disk.bin", headers) };
  }

  const statusOf = async (app: TestApp, link: string) => {
    const { pathname, search } = new URL(link);
    return (await download("HTTP/1.1", app.url + pathname + search)).status;
  };
  const statuses = (link: string) => Promise.all(apps.map((app) => statusOf(app, link)));
  const loginStatuses = (headers: Headers) =>
    Promise.all(apps.map(async (app) => (await fetch(`${app.url}/api/session`, { headers })).status));
  const stateOf = async (app: TestApp, session: string, headers: Headers) => {
    const path = `/api/content/library/item/download-session/${session}`;
    return ((await (await fetch(app.url + path, { headers })).json()) as { state?: string }).state;
  };

  test("loses links and logins on every replica, also where the file is late; others lose nothing", async () => {
    const [early, late] = apps as [TestApp, TestApp];
    const [bob, carol] = [await logIn(early, users.bob), await logIn(early, users.carol)];
    const token = { authorization: `Bearer ${await issuer.token({ sub: users.bob })}` };
    const tokenLogin = {
      [loginHeader]: (await (
        await fetch(`${early.url}/api/session`, { method: "POST", headers: token })
      ).json()) as string,
    };
    const ofBob = [await open(late, bob), await open(early, bob)];
    const ofOthers = [await open(early, carol), await open(early, token), await open(late, tokenLogin)];
    for (const { link } of [...ofBob, ...ofOthers]) expect(await statuses(link)).toEqual([200, 200]);
    await writeUsers("early", users.carol);
    for (const { link } of ofBob) {
      await eventually(
        "the links to be dead",
        async () => (await statuses(link)).every((status) => status === 404),
        {
          withinMs: 5_000,
          everyMs: 20,
        },
      );
    }
    await eventually("the logins to be over", async () =>
      (await loginStatuses(bob)).every((status) => status === 401),
    );
    expect(await stateOf(late, ofBob[0]!.session, token)).toBe("CANCELED");
    for (const { link } of ofOthers) expect(await statuses(link)).toEqual([200, 200]);
    for (const login of [carol, tokenLogin]) expect(await loginStatuses(login)).toEqual([200, 200]);
  });

  test("has no link where the file never had it, and what is only late there stays", async () => {
    const [early, late] = apps as [TestApp, TestApp];
    await writeUsers("late", users.bob, users.carol, users.dave);
    await eventually(
      "the new user",
      async () => (await logIn(late, users.dave))[loginHeader]?.length === 32,
      {
        withinMs: 5_000,
        everyMs: 50,
      },
    );
    const dave = await logIn(late, users.dave);
    const { session, link } = await open(late, dave);
    expect(await statuses(link)).toEqual([404, 200]);
    await writeUsers("early", users.carol, users.dave);
    await eventually("the file that was late", async () => (await statusOf(early, link)) === 200, {
      withinMs: 5_000,
      everyMs: 20,
    });
    expect(await stateOf(late, session, dave)).toBe("ACTIVE");
  });
});
