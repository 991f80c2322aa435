import { expect, test } from "vitest";
import { readConfig } from "../../src/app/config.ts";
import { type OperationParts, openOperations } from "../../src/app/operations.ts";
import { operationNameOf } from "../../src/calls/pipeline.ts";

/** Operations that look at something, by their verbs. */
const reading = /^(BatchGet|Describe|Find|Fingerprint|Get|Inspect|List|Watch)/;
/** What renews a lease and nothing else: calls that come all the time. */
const heartbeats = ["DownloadSession.KeepAlive", "DownloadSession.BatchKeepAlive"];

/** A part of which anything may be taken. */
const anything: unknown = new Proxy(() => {}, { get: () => anything });

test("every operation that changes something says so, for the audit log, and no other does", () => {
  const config = readConfig({ contentRoot: "/", port: "0" }, {});
  const { unary } = openOperations(config, anything as OperationParts);
  expect(unary.length).toBeGreaterThan(40);
  const named = unary.map((row) => ({ ...row, name: operationNameOf(row.method) }));
  const changing = named.filter(
    ({ name }) => !reading.test(name.split(".")[1]!) && !heartbeats.includes(name),
  );
  expect(named.filter(({ changes }) => changes).map(({ name }) => name)).toEqual(
    changing.map(({ name }) => name),
  );
  expect(changing.map(({ name }) => name)).toContain("DownloadSession.Create");
});
