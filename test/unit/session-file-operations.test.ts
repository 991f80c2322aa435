import { create, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test } from "vitest";
import {
  EndpointType as Endpoint,
  type FileInfo,
  FileService,
  FileInfo_PrepareStatus as Status,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { ChecksumInfo_ChecksumAlgorithm as Algorithm } from "../../gen/content/library/item/v1/item_file_pb.ts";
import type { Call } from "../../src/calls/call.ts";
import type { ContentSource, ItemFile } from "../../src/domain/content-source.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { Preparation } from "../../src/domain/preparation.ts";
import type { Caller, Refusal, Session } from "../../src/domain/session.ts";
import type { EndpointType, SessionFile } from "../../src/domain/session-file-store.ts";
import { sessionFileOperations } from "../../src/operations/download-session-file.ts";
import { callerNamed } from "../support/callers.ts";

const { list, prepare, get } = FileService.method;
const leaseMs = 60_000;
const unverifiedAfterMs = 10_000;
const digests = { SHA256: "aa", SHA1: "bb" };
const prepared: Preparation = { status: "PREPARED", digests };
const itemFile: ItemFile = { name: "disk", size: 100, version: "1" };

let caller: Caller;
let session: Session | undefined;
let files: Map<string, SessionFile>;
let item: { contentVersion: string } | undefined;
let itemFiles: ItemFile[];
/** The preparation of each file. */
let preparation: Preparation;
let directUri: ContentSource["directUri"];
/** Milliseconds since files were requested. */
let requestedForMs: number;
/** What was done, in order. */
let done: string[];
/** What the store says to a renewal. */
let refusal: Refusal | undefined;

beforeEach(() => {
  caller = callerNamed("alice");
  session = {
    id: "s",
    owner: "alice",
    libraryItemId: "i",
    contentVersion: "v1",
    state: "ACTIVE",
    progress: 0,
    expiresAt: Date.now() + leaseMs,
  };
  files = new Map();
  item = { contentVersion: "v1" };
  itemFiles = [itemFile];
  preparation = prepared;
  requestedForMs = 0;
  directUri = undefined;
  done = [];
  refusal = undefined;
});

async function run<M extends DescMethodUnary>(
  method: M,
  request: MessageInitShape<M["input"]>,
): Promise<MessageShape<M["output"]>> {
  const renew = async (what: string) => {
    done.push(what);
    return refusal ?? ({ outcome: "renewed", expiresAt: Date.now() + 2 * leaseMs, progress: 0 } as const);
  };
  const operations = sessionFileOperations({
    sessions: { keepAlive: () => renew("renew") },
    files: {
      files: async () => session && { session, files },
      request: (_id, _caller, name, type) => renew(`request ${name} ${type}`),
      recordSent: () => Promise.reject(new Error("nothing was sent")),
    },
    content: {
      contents: async () => item && { ...item, files: itemFiles },
      ...(directUri !== undefined && { directUri }),
    } as Partial<ContentSource> as ContentSource,
    unverifiedAfterMs: () => unverifiedAfterMs,
    preparations: {
      find: async (files) => {
        done.push(`find ${files.map(({ fileName }) => fileName).join(" ")}`);
        return files.map(() => preparation);
      },
      start: async ({ itemId, contentVersion, fileName }, toldFile, retry) => {
        expect(toldFile).toBe(itemFiles.find(({ name }) => name === fileName));
        done.push(`start ${itemId} ${contentVersion} ${fileName}${retry ? " again" : ""}`);
        return preparation;
      },
    },
    linkFor: async ({ sessionId, fileName, contentVersion }, { requestId }) =>
      `link:${sessionId}/${fileName}/${contentVersion}/${requestId}`,
  });
  const row = operations.find((candidate) => candidate.method === method)!;
  const call = { requestId: "r" } as Call;
  return row.run(create(method.input, request as never), caller, call) as never;
}

const ofDisk = { downloadSessionId: "s", fileName: "disk" };
const prepareDisk = async (endpointType?: Endpoint) =>
  (await run(prepare, { ...ofDisk, ...(endpointType !== undefined && { endpointType }) })).file!;
const getDisk = async () => (await run(get, ofDisk)).file!;
const listed = async () => (await run(list, { downloadSessionId: "s" })).files;
const ask = (name = "disk", requested: EndpointType = "HTTPS", bytesSent = 0) =>
  files.set(name, { requested, requestedForMs, bytesSent });

async function refused(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ServiceError)) throw new Error("it was not refused", { cause: error });
  return `${error.kind} ${error.messageId}`;
}

describe("how a file is described", () => {
  test("that was not requested: UNPREPARED, in any preparation", async () => {
    for (const info of [(await listed())[0]!, await getDisk()]) {
      expect(info).toMatchObject({
        name: "disk",
        size: 100n,
        bytesTransferred: 0n,
        status: Status.UNPREPARED,
      });
      expect(info.downloadEndpoint ?? info.checksumInfo ?? info.errorMessage).toBeUndefined();
      expect(info.checksums).toEqual([]);
    }
    // Nothing was looked for, and what was read was renewed.
    expect(done).toEqual(["renew", "find ", "renew"]);
  });

  test.each<[Preparation, Status, bigint]>([
    [{ status: "UNPREPARED" }, Status.PREPARE_REQUESTED, 0n],
    [{ status: "PREPARE_REQUESTED" }, Status.PREPARE_REQUESTED, 0n],
    [{ status: "PREPARING", bytesDone: 60 }, Status.PREPARING, 60n],
  ])("that was requested and is %o", async (stored, status, bytesTransferred) => {
    preparation = stored;
    ask("disk", "HTTPS", 55);
    for (const info of [(await listed())[0]!, await getDisk(), await prepareDisk()]) {
      expect(info).toMatchObject({ name: "disk", size: 100n, bytesTransferred, status });
      expect(info.downloadEndpoint ?? info.checksumInfo ?? info.errorMessage).toBeUndefined();
    }
  });

  describe.each<Preparation>([
    { status: "UNPREPARED" },
    { status: "PREPARE_REQUESTED" },
    { status: "PREPARING", bytesDone: 60 },
  ])("that is %o some time after it was requested", (stored) => {
    beforeEach(() => {
      preparation = stored;
      requestedForMs = unverifiedAfterMs;
    });

    test("PREPARED, without checksums", async () => {
      ask("disk", "HTTPS", 55);
      for (const info of [(await listed())[0]!, await getDisk(), await prepareDisk()]) {
        expect(info).toMatchObject({ status: Status.PREPARED, bytesTransferred: 55n, checksums: [] });
        expect(info.downloadEndpoint?.uri).toBeDefined();
        expect(info.checksumInfo).toBeUndefined();
      }
    });

    test.each<[string, () => void]>([
      ["a moment earlier", () => void requestedForMs--],
      [
        "when its session is over",
        () => {
          session = { ...session!, state: "CANCELED" };
        },
      ],
      [
        "when it contradicted its manifest",
        () => {
          preparation = { ...stored, verifyFirst: true } as Preparation;
        },
      ],
    ])("but not %s", async (_, change) => {
      change();
      ask("disk", "HTTPS", 55);
      for (const info of [(await listed())[0]!, await getDisk()]) {
        expect(info.status).not.toBe(Status.PREPARED);
        expect(info.downloadEndpoint).toBeUndefined();
      }
    });
  });

  test.each([
    [0, 0n],
    [99, 99n],
    [100, 100n],
    [2 ** 50, 100n],
  ])("that is ready and of which %i bytes were sent", async (sent, bytesTransferred) => {
    ask("disk", "HTTPS", sent);
    for (const info of [(await listed())[0]!, await getDisk(), await prepareDisk()]) {
      expect(info).toMatchObject({
        bytesTransferred,
        status: Status.PREPARED,
        downloadEndpoint: { uri: "link:s/disk/v1/r" },
        checksumInfo: { algorithm: Algorithm.SHA256, checksum: "aa" },
        checksums: [
          { algorithm: Algorithm.SHA256, checksum: "aa" },
          { algorithm: Algorithm.SHA1, checksum: "bb" },
        ],
      });
      expect(info.errorMessage).toBeUndefined();
      expect(info.downloadEndpoint!.sslCertificateThumbprint).toBeUndefined();
    }
  });

  test("that has failed", async () => {
    const args = ["disk", "SHA1", "aa", "bb"];
    preparation = { status: "ERROR", messageId: "downlease.file.checksum_mismatch", args };
    ask();
    for (const info of [(await listed())[0]!, await getDisk(), await prepareDisk()]) {
      expect(info).toMatchObject({ status: Status.ERROR, bytesTransferred: 0n });
      expect(info.errorMessage).toMatchObject({ id: "downlease.file.checksum_mismatch", args });
      expect(info.errorMessage!.defaultMessage).toContain("its SHA1 is bb, not aa");
      expect(info.downloadEndpoint ?? info.checksumInfo).toBeUndefined();
    }
  });

  test("that has failed for a reason of another release", async () => {
    preparation = { status: "ERROR", messageId: "toString", args: ["x"] };
    ask();
    expect((await getDisk()).errorMessage).toMatchObject({
      id: "toString",
      args: ["x"],
      defaultMessage: "'disk' could not be prepared. Call prepare again to retry.",
    });
  });
});

describe("an item that has changed since", () => {
  beforeEach(() => {
    item = { contentVersion: "v2" };
    itemFiles = [itemFile, { name: "new", size: 0, version: "1" }];
    ask("disk");
    ask("a requested file that is gone");
    files.set("never requested", { bytesSent: 5 });
  });
  const errorOf = ({ status, errorMessage }: FileInfo) => [status, errorMessage?.id, errorMessage?.args];
  const changed = [Status.ERROR, "downlease.file.changed", ["i"]];

  test("has each file in ERROR, including requested files that are gone", async () => {
    const all = await listed();
    expect(all.map(({ name, size }) => [name, size])).toEqual([
      ["a requested file that is gone", undefined],
      ["disk", 100n],
      ["new", 0n],
    ]);
    expect(all.map(errorOf)).toEqual([changed, changed, changed]);
    expect(done).toEqual(["renew", "find "]);
  });

  test("has nothing prepared", async () => {
    expect(errorOf(await prepareDisk())).toEqual(changed);
    expect(errorOf(await getDisk())).toEqual(changed);
    const gone = await run(get, { downloadSessionId: "s", fileName: "a requested file that is gone" });
    expect(errorOf(gone.file!)).toEqual(changed);
    // The lease is renewed all the same: the client may want to read what it has.
    expect(done).toEqual(["request disk HTTPS", "renew", "renew"]);
    expect(await refused(run(get, { downloadSessionId: "s", fileName: "never requested" }))).toBe(
      "invalid_argument downlease.argument.file_name",
    );
  });

  test("is gone", async () => {
    item = undefined;
    for (const work of [listed(), getDisk(), prepareDisk()]) {
      expect(await refused(work)).toBe("not_found downlease.item.not_found");
    }
  });
});

describe("a session that has ended", () => {
  test.each(["CANCELED", "ERROR"] as const)(
    "%s returns files without endpoints, and starts nothing",
    async (state) => {
      session = { ...session!, state };
      ask("disk", "HTTPS", 10);
      for (const info of [(await listed())[0]!, await getDisk()]) {
        expect(info).toMatchObject({ status: Status.PREPARED, bytesTransferred: 10n });
        expect(info.checksumInfo).toBeDefined();
        expect(info.downloadEndpoint).toBeUndefined();
      }
      expect(done).toEqual(["find disk", "find disk"]);
      expect(await refused(prepareDisk())).toBe("not_allowed_in_current_state downlease.session.not_active");
    },
  );

  test("between two steps of a call", async () => {
    ask();
    refusal = { outcome: "not_active", state: "CANCELED" };
    expect((await getDisk()).downloadEndpoint).toBeUndefined();
    expect((await listed())[0]!.downloadEndpoint).toBeUndefined();
    expect(await refused(prepareDisk())).toBe("not_allowed_in_current_state downlease.session.not_active");
    refusal = { outcome: "not_found" };
    for (const work of [getDisk(), listed(), prepareDisk()]) {
      expect(await refused(work)).toBe("not_found downlease.session.not_found");
    }
    expect(done.filter((what) => what.startsWith("start"))).toEqual([]);
  });
});

describe("prepare", () => {
  test("records the request, renews the lease and retries a preparation that has failed", async () => {
    for (const type of [undefined, Endpoint.UNSPECIFIED, Endpoint.HTTPS]) {
      done = [];
      await prepareDisk(type);
      expect(done).toEqual(["request disk HTTPS", "start i v1 disk again"]);
    }
  });

  test("returns the endpoint that was requested last", async () => {
    ask("disk", "DIRECT", 7);
    expect(await prepareDisk()).toMatchObject({
      downloadEndpoint: { uri: "link:s/disk/v1/r" },
      bytesTransferred: 7n,
    });
  });

  test("checks in the documented order, and refuses without having done anything", async () => {
    const storage = "unauthorized downlease.storage.role";
    const wrong = { downloadSessionId: "s", fileName: "none", endpointType: Endpoint.DIRECT };
    const missing = { downloadSessionId: "", fileName: "", endpointType: 99 as Endpoint };
    expect(await refused(run(prepare, missing))).toBe("invalid_argument downlease.argument.missing");
    const active = session!;
    session = undefined;
    expect(await refused(run(prepare, wrong))).toBe("not_found downlease.session.not_found");
    session = { ...active, state: "CANCELED" };
    expect(await refused(run(prepare, wrong))).toBe(storage);
    caller = callerNamed("alice", "storage");
    expect(await refused(run(prepare, wrong))).toBe(
      "not_allowed_in_current_state downlease.session.not_active",
    );
    session = active;
    expect(await refused(run(prepare, wrong))).toBe("invalid_argument downlease.argument.file_name");
    expect(await refused(run(prepare, { ...wrong, fileName: "disk" }))).toBe(
      "unauthorized downlease.storage.none",
    );
    expect(done).toEqual([]);
  });

  test.each([
    ["", "downlease.argument.missing"],
    ["a\nb", "downlease.argument.identifier"],
    ["x".repeat(257), "downlease.argument.identifier"],
    ["../disk", "downlease.argument.file_name"],
    ["DISK", "downlease.argument.file_name"],
  ])("and get refuse the file name %j", async (fileName, id) => {
    const request = { downloadSessionId: "s", fileName };
    expect(await refused(run(prepare, request))).toBe(`invalid_argument ${id}`);
    expect(await refused(run(get, request))).toBe(`invalid_argument ${id}`);
    expect(done).toEqual([]);
  });

  test.each([3, 99, -1])("refuses the endpoint type %i", async (type) => {
    expect(await refused(prepareDisk(type as Endpoint))).toBe("invalid_argument downlease.argument.type");
    expect(done).toEqual([]);
  });
});

describe("get", () => {
  test("renews the lease and takes up a job again, unless it has failed", async () => {
    ask();
    await getDisk();
    expect(done).toEqual(["renew", "start i v1 disk"]);
  });
});

describe("DIRECT", () => {
  /** Lifetimes of the requested URIs. */
  let lifetimes: number[];
  beforeEach(() => {
    lifetimes = [];
    caller = callerNamed("alice", "storage");
    directUri = async (itemId, fileName, contentVersion, lifetimeMs) => {
      lifetimes.push(lifetimeMs);
      return `direct:${itemId}/${fileName}/${contentVersion}`;
    };
  });

  test("is for callers who may read storage, and lives no longer than the lease", async () => {
    expect((await prepareDisk(Endpoint.DIRECT)).downloadEndpoint!.uri).toBe("direct:i/disk/v1");
    expect(done[0]).toBe("request disk DIRECT");
    ask("disk", "DIRECT");
    expect((await getDisk()).downloadEndpoint!.uri).toBe("direct:i/disk/v1");
    expect((await listed())[0]!.downloadEndpoint!.uri).toBe("direct:i/disk/v1");
    const [probe, ofPrepare, ofGet, ofList] = lifetimes;
    for (const renewed of [ofPrepare!, ofGet!, ofList!]) {
      expect(renewed).toBeLessThanOrEqual(2 * leaseMs);
      expect(renewed).toBeGreaterThan(leaseMs);
    }
    expect(probe!).toBeLessThanOrEqual(leaseMs);
  });

  test("is not given to a reader without the role, even if another principal requested it", async () => {
    ask("disk", "DIRECT");
    caller = callerNamed("alice");
    for (const info of [(await listed())[0]!, await getDisk()]) {
      expect(info).toMatchObject({ status: Status.ERROR, errorMessage: { id: "downlease.storage.role" } });
      expect(info.downloadEndpoint).toBeUndefined();
    }
    expect(lifetimes).toEqual([]);
  });

  test("that the source can't give any more is reported", async () => {
    ask("disk", "DIRECT");
    directUri = async () => undefined;
    expect((await getDisk()).errorMessage).toMatchObject({ id: "downlease.storage.none", args: ["disk"] });
    expect(await refused(prepareDisk(Endpoint.DIRECT))).toBe("unauthorized downlease.storage.none");
    expect(done.filter((what) => what.startsWith("request"))).toEqual([]);
  });

  test("is hashed like any other file", async () => {
    preparation = { status: "PREPARING", bytesDone: 3 };
    expect(await prepareDisk(Endpoint.DIRECT)).toMatchObject({
      status: Status.PREPARING,
      bytesTransferred: 3n,
    });
  });
});
