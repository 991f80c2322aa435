import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { eventually } from "../support/eventually.ts";
import { methodClients, tableClients } from "../support/method-clients.ts";
import { addItem, type FileView, openSession, sessionFiles } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const clients = { ...methodClients, ...tableClients };
const password = "correct horse";
const users = { alice: "", bob: "", root: "admin", stor: "storage" };

describe.each(storeKinds)("%s", (kind: StoreKind) => {
  let directory: TempDir;
  let app: TestApp;
  const headers: Record<string, Record<string, string>> = { nobody: {} };
  beforeAll(async () => {
    directory = await tempDir();
    const usersFile = join(directory.path, "users");
    const lines = Object.entries(users).map(([name, role]) => `${name}:${cheapHash(password)}:${role}\n`);
    await writeFile(usersFile, lines.join(""), { mode: 0o600 });
    app = await startTestApp({ store: kind, settings: { usersFile } });
    for (const name of Object.keys(users)) {
      const response = await fetch(`${app.url}/api/session`, {
        method: "POST",
        headers: { authorization: basic(name, password) },
      });
      headers[name] = { "vmware-api-session-id": (await response.json()) as string };
    }
  });
  afterAll(async () => {
    await app.stop();
    await directory.remove();
  });

  /** Creates a session of `owner`; gives its files as another user sees them. */
  async function sessionOf(owner: string, client: string) {
    const item = await addItem(app.contentRoot, { disk: "x" });
    const id = await openSession(app.url, item, headers[owner]);
    return (name: string) => sessionFiles(clients[client]!(app.url), id, headers[name]);
  }

  const statuses = async ({ list, prepare, get }: ReturnType<typeof sessionFiles>, more = {}) => {
    const files = [
      await prepare("disk", more),
      await get("disk"),
      await prepare("none", more),
      await get("none"),
    ];
    return [await list(), ...files.map(({ status }) => status)];
  };

  describe.each(Object.keys(clients))("%s", (client) => {
    test("the files of another principal's session are not found, by any operation", async () => {
      const as = await sessionOf("alice", client);
      const missing = "404 downlease.session.not_found";
      for (const other of ["bob", "stor"]) {
        expect(new Set(await statuses(as(other)))).toEqual(new Set([missing]));
        expect(new Set(await statuses(as(other), { endpoint_type: "DIRECT" }))).toEqual(new Set([missing]));
      }
      expect(new Set(await statuses(as("nobody")))).toEqual(
        new Set(["401 downlease.authentication.required"]),
      );
      expect((await as("alice").get("disk")).status).toBe("UNPREPARED");
    });

    test("the role admin may do all with them", async () => {
      const as = await sessionOf("alice", client);
      await as("root").prepare("disk");
      await eventually("the disk to be ready for its owner", async () => {
        return (await as("alice").get("disk")).status === "PREPARED";
      });
      expect(((await as("root").list()) as FileView[])[0]).toHaveProperty("download_endpoint");
    });

    test("DIRECT needs the role storage, and a source that has such endpoints", async () => {
      const [ofAlice, ofStor] = [await sessionOf("alice", client), await sessionOf("stor", client)];
      const direct = { endpoint_type: "DIRECT" };
      expect((await ofAlice("alice").prepare("disk", direct)).status).toBe("403 downlease.storage.role");
      expect((await ofStor("stor").prepare("disk", direct)).status).toBe("403 downlease.storage.none");
      expect((await ofAlice("root").prepare("disk", direct)).status).toBe("403 downlease.storage.none");
      expect((await ofStor("stor").get("disk")).status).toBe("UNPREPARED");
    });
  });
});
