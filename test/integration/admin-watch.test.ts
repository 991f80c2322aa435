import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  DownloadSessionService,
  DownloadSessionModel_State as State,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { AdminService, SessionEvent_Kind as Kind } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { enumName } from "../../src/client/enum-name.ts";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** A replica, and clients of it. */
interface Replica {
  readonly app: TestApp;
  readonly sessions: Client<typeof DownloadSessionService>;
  readonly admin: Client<typeof AdminService>;
}

describe.each(storeKinds)("two replicas on %s", (store) => {
  let directory: TempDir;
  let [watched, other]: Replica[] = [];
  let itemId: string;
  const over = new Set<AbortController>();
  beforeAll(async () => {
    directory = await tempDir();
    const settings = { sqlitePath: join(directory.path, "sessions.db") };
    const start = async (more: Record<string, string>): Promise<Replica> => {
      const app = await startTestApp({ store, leaseSeconds: 3, settings: { ...settings, ...more } });
      const transport = createGrpcTransport({ baseUrl: app.url });
      return {
        app,
        sessions: createClient(DownloadSessionService, transport),
        admin: createClient(AdminService, transport),
      };
    };
    watched = await start({});
    itemId = await watched.app.addItem();
    other = await start({ contentRoot: watched.app.contentRoot });
  });
  afterEach(() => {
    for (const controller of over) controller.abort();
  });
  afterAll(async () => {
    await Promise.all([watched!.app.stop(), other!.app.stop()]);
    await directory.remove();
  });

  function watch() {
    const controller = new AbortController();
    over.add(controller);
    const received: string[] = [];
    let isComplete = false;
    void (async () => {
      const stream = watched!.admin.watchSessions({ libraryItemId: itemId }, { signal: controller.signal });
      for await (const { events, isSnapshotComplete } of stream) {
        isComplete ||= isSnapshotComplete;
        for (const { kind, session } of events) {
          const { id, state, progress, libraryItemName } = session!;
          if (libraryItemName === undefined) throw new Error("the item has no name");
          received.push(`${enumName(Kind, kind)} ${id} ${enumName(State, state)} ${progress}`);
        }
      }
    })().catch(() => {});
    return {
      received,
      complete: () => eventually("the snapshot", () => isComplete),
      /** Resolves with the milliseconds that it took. */
      async sees(kind: string, id: string, rest: string) {
        const startedAt = performance.now();
        await eventually(`${kind} ${rest}, not just ${received}`, () =>
          received.includes(`${kind} ${id} ${rest}`),
        );
        return performance.now() - startedAt;
      },
    };
  }
  const newSession = async ({ sessions }: Replica): Promise<string> =>
    (await sessions.create({ createSpec: { libraryItemId: itemId } })).downloadSessionId;

  test("a watcher of one sees what happens through the other, a cancel within a second", async () => {
    const before = await newSession(other!);
    const { complete, sees, received } = watch();
    await complete();
    await sees("SNAPSHOT", before, "ACTIVE 0");
    // For the last time: it expires.
    await other!.sessions.keepAlive({ downloadSessionId: before, progress: 60n });
    const id = await newSession(other!);
    await sees("CREATED", id, "ACTIVE 0");
    await other!.sessions.keepAlive({ downloadSessionId: id, progress: 40n });
    await sees("PROGRESSED", id, "ACTIVE 40");
    await other!.sessions.batchKeepAlive({ keepAlives: [{ downloadSessionId: id, progress: 50n }] });
    await sees("PROGRESSED", id, "ACTIVE 50");
    await other!.sessions.cancel({ downloadSessionId: id });
    // A second, and room for a machine that does something else.
    expect(await sees("ENDED", id, "CANCELED 50")).toBeLessThan(2_000);
    await other!.admin.endSessions({ ids: [id], ending: 3 });
    await sees("DELETED", id, "CANCELED 50");
    await sees("EXPIRED", before, "ACTIVE 60");
    expect(received.filter((event) => event.startsWith("EXPIRED"))).toHaveLength(1);
  });

  test("a watcher of the settings gets those of now, and changes through the other", async () => {
    const controller = new AbortController();
    over.add(controller);
    const values: (string | undefined)[] = [];
    void (async () => {
      for await (const { settings } of watched!.admin.watchSettings({}, { signal: controller.signal })) {
        values.push(settings?.settings.find(({ name }) => name === "max_calls")?.value);
      }
    })().catch(() => {});
    await eventually("the settings of now", () => values.length > 0);
    await other!.admin.updateSettings({ values: { maxCalls: 777n } });
    await eventually("the change", () => values.at(-1) === "777");
    await other!.admin.updateSettings({ resets: ["max_calls"] });
    await eventually("the reset", () => values.at(-1) === values[0]);
  });
});
