import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Ending, EndSessionsRequestSchema } from "../../gen/downlease/admin/v1/admin_pb.ts";
import type { SessionRecord } from "../../src/domain/session-record-store.ts";
import { SessionEndings } from "../../src/operations/admin/end-sessions.ts";
import { callerNamed } from "../support/callers.ts";

const operator = callerNamed("root", "admin");

/** Endings over a store in memory. */
function stage(count: number) {
  const all = Array.from(
    { length: count },
    (_, n): SessionRecord => ({
      id: `s${n}`,
      owner: "alice",
      libraryItemId: "item",
      contentVersion: "v1",
      state: "ACTIVE",
      progress: 0,
      expiresAt: Date.now() + 60_000,
      bytesSent: 0,
    }),
  );
  const [ended, running] = [new Set<string>(), { now: 0, max: 0, gaps: 0 }];
  const endings = new SessionEndings({
    records: {
      async page({ cursor = "0", maxSessions, matches = () => true }) {
        const start = Number(cursor);
        const sessions = all.slice(start, start + maxSessions).filter(matches);
        const next = start + maxSessions;
        return { sessions, ...(next < count && { cursor: String(next) }) };
      },
      find: async (ids) => ids.map((id) => all.find((session) => session.id === id)),
    },
    sessions: {
      async finish(id) {
        running.max = Math.max(running.max, ++running.now);
        await new Promise((resolve) => setImmediate(resolve));
        running.now--;
        if (ended.has(id)) return { outcome: "not_active", state: "CANCELED" };
        ended.add(id);
        return { outcome: "finished", expiresAt: 0 };
      },
      delete: async (id) => ended.delete(id),
    },
  });
  return { endings, ended, running };
}

test("a call ends a bounded number of sessions, and the following calls the others", async () => {
  const { endings, ended, running } = stage(2_300);
  const counts: number[] = [];
  for (let pageToken: string | undefined; ; ) {
    const members = { all: true, ending: Ending.CANCEL, ...(pageToken !== undefined && { pageToken }) };
    const report = await endings.run(create(EndSessionsRequestSchema, members), operator);
    counts.push(Number(report.ended));
    pageToken = report.nextPageToken;
    if (pageToken === undefined) break;
    // The token stands for this request.
    const other = create(EndSessionsRequestSchema, { all: true, ending: Ending.DELETE, pageToken });
    await expect(endings.run(other, operator)).rejects.toMatchObject({ messageId: "downlease.page.token" });
  }
  expect(counts).toEqual([1_000, 1_000, 300]);
  expect(ended.size).toBe(2_300);
  expect(running.max).toBeLessThanOrEqual(4);
});

test("two calls at the same time end each session once, in turns", async () => {
  const { endings, running } = stage(200);
  const request = create(EndSessionsRequestSchema, { all: true, ending: Ending.CANCEL });
  const reports = await Promise.all([endings.run(request, operator), endings.run(request, operator)]);
  expect(reports.reduce((sum, { ended }) => sum + Number(ended), 0)).toBe(200);
  const refused = reports.flatMap(({ refusals = [] }) => refusals);
  expect(refused.map(({ error }) => error)).toEqual(refused.map(() => "not_allowed_in_current_state"));
  expect(refused.reduce((sum, { count }) => sum + Number(count), 0)).toBe(200);
  expect(running.max).toBeLessThanOrEqual(4);
});
