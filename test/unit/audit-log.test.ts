import { afterEach, expect, test, vi } from "vitest";
import type { AuditRecord } from "../../src/calls/audit.ts";
import { noRoles, rolesFrom } from "../../src/domain/roles.ts";
import { AuditLog, lineOf } from "../../src/telemetry/audit-log.ts";

afterEach(() => {
  vi.useRealTimers();
});

const sessionId = "6f1c9b52-7a51-4b8e-9d8e-0c3b8f1f2a70";
const record: AuditRecord = {
  time: Date.UTC(2031, 4, 6, 7, 8, 9, 10),
  principal: "zoe",
  roles: rolesFrom(["storage", "admin"]),
  proof: "login",
  clientAddress: "203.0.113.9",
  operation: "DownloadSession.Create",
  sessionId,
  libraryItemId: "obj-7",
  outcome: "ok",
  requestId: "r-1",
  details: undefined,
};

test("an entry is one line of JSON", () => {
  const line = lineOf({ ...record, details: { ended: "3" } });
  expect(line.endsWith("\n")).toBe(true);
  expect(JSON.parse(line)).toEqual({
    time: "2031-05-06T07:08:09.010Z",
    principal: "zoe",
    roles: ["admin", "storage"],
    proof: "login",
    client_address: "203.0.113.9",
    operation: "DownloadSession.Create",
    session_id: sessionId,
    library_item_id: "obj-7",
    outcome: "ok",
    request_id: "r-1",
    details: { ended: "3" },
  });
});

test("nothing that a caller sends ends a line or controls a terminal", () => {
  const hostile = 'a"\\\n\r\u0000\u001b[2J\u009b31m\u202e\u2028\ud800\u{e0001}';
  const line = lineOf({ ...record, principal: hostile, details: { message: hostile } });
  expect(line.slice(0, -1)).not.toMatch(/\p{C}|\u2028/u);
  expect(JSON.parse(line)).toMatchObject({ principal: hostile, details: { message: hostile } });
});

test("long texts are cut, and texts in place of an id are not kept whole", () => {
  const lines: string[] = [];
  const audit = new AuditLog((line) => void lines.push(line));
  const secret = "5".repeat(32);
  audit.record({
    ...record,
    outcome: "not_found",
    sessionId: secret,
    libraryItemId: secret,
    details: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [index, "x".repeat(60_000)])),
  });
  expect(lines[0]).not.toContain(secret);
  expect(lines[0]!.length).toBeLessThan(5_000);
  expect(audit.entries()[0]!.details![3]).toHaveLength(257);
});

test("a line has all ids of a list, an entry in memory the first ones", () => {
  const lines: string[] = [];
  const audit = new AuditLog((line) => void lines.push(line));
  const ids = Array.from({ length: 1000 }, () => crypto.randomUUID());
  audit.record({ ...record, details: { ids: [...ids, "a secret"] } });
  expect(JSON.parse(lines[0]!).details.ids).toEqual([...ids, "a se…"]);
  expect(audit.entries()[0]!.details!.ids).toBe(`${ids.join(",").slice(0, 256)}…`);
});

test("the latest thousand entries stay, newest first", () => {
  const audit = new AuditLog();
  for (let index = 0; index < 1_503; index++) audit.record({ ...record, requestId: `${index}` });
  const ids = audit.entries().map(({ requestId }) => Number(requestId));
  expect(ids).toEqual(Array.from({ length: 1_000 }, (_, index) => 1_502 - index));
});

test("refused strangers fill no log: beyond a hundred a second one entry counts them", () => {
  vi.useFakeTimers();
  const lines: string[] = [];
  const audit = new AuditLog((line) => void lines.push(line));
  const refused = { ...record, principal: undefined, roles: noRoles, outcome: "unauthenticated" } as const;
  for (let index = 0; index < 5_000; index++) audit.record({ ...refused, requestId: `${index}` });
  audit.record(record);
  expect(lines).toHaveLength(101);
  vi.advanceTimersByTime(1_000);
  expect(lines).toHaveLength(102);
  expect(JSON.parse(lines[101]!)).toMatchObject({ request_id: "4999", details: { count: "4900" } });
  audit.record(refused);
  vi.advanceTimersByTime(5_000);
  expect(lines).toHaveLength(103);
});
