import { randomBytes } from "node:crypto";
import { open, utimes } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { DownloadOutcome } from "../../src/calls/download-record.ts";
import { ContentChangedError, type ContentFile } from "../../src/domain/content-source.ts";
import type { Session } from "../../src/domain/session.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { type Begun, begin, download, type Version } from "../support/download.ts";
import { type DownloadRig, type DownloadRigOptions, downloadRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { frame, frameType, http2Headers, http2Hello, rawConnection } from "../support/raw-connection.ts";
import { tempDir } from "../support/temp-dir.ts";

/** More than a connection takes in while nobody reads. */
const size = 24 * 1024 * 1024;
const bytes = randomBytes(size);
const versions: Version[] = ["HTTP/1.1", "HTTP/2"];

let rig: DownloadRig;
let session: Session;
let url: string;

async function start(options: DownloadRigOptions = {}): Promise<void> {
  rig = await downloadRig(options);
  await rig.addFile("disk.bin", bytes);
  await rig.addFile("small.bin", "small");
  session = await rig.open();
  url = rig.url + rig.link(session, "disk.bin");
}

afterEach(() => rig.stop());

/** A download of which nothing is read for now. */
async function paused(version: Version, headers: Record<string, string> = {}): Promise<Begun> {
  const begun = await begin(version, url, { headers });
  expect(begun.status).toBeLessThan(300);
  await eventually("bytes to be on their way", () => rig.running > 0 || rig.records.length > 0);
  return begun;
}

/** What the client has must not look like the file. */
async function expectBroken(begun: Begun): Promise<void> {
  const { isWhole, error, body } = await begun.finish();
  expect({ isWhole, isLess: body.length < size }).toEqual({ isWhole: false, isLess: true });
  expect(error).toMatch(/^(ECONNRESET|ERR_HTTP2_STREAM_ERROR)$/);
}

/** Resolves when the last download that is over has ended so. */
async function expectOutcome(outcome: DownloadOutcome): Promise<void> {
  await eventually(`the outcome ${outcome}`, () => expect(rig.records.at(-1)?.outcome).toBe(outcome) ?? true);
}

describe.each(versions)("over %s", (version) => {
  test("the end of a session cuts its downloads, and no others", async () => {
    await start();
    const other = await rig.open();
    const others = await begin(version, rig.url + rig.link(other, "disk.bin"));
    const downloads = await Promise.all([paused(version), paused(version)]);
    rig.files.announceEnd(session.id);
    await Promise.all(downloads.map(expectBroken));
    await eventually("both to be recorded", () => rig.records.length === 2);
    expect(rig.records.map(({ outcome }) => outcome)).toEqual(["session_ended", "session_ended"]);
    expect((await others.finish()).body.equals(bytes)).toBe(true);
  });

  test("sessions are checked while announcements of ends may be missing", async () => {
    await start();
    rig.files.isReliable = false;
    const begun = await paused(version);
    await rig.sessions.finish(session.id, rig.caller, "CANCELED");
    await expectOutcome("session_ended");
    await expectBroken(begun);
  });

  test("a session is looked at when its end may have been missed", async () => {
    await start();
    const begun = await paused(version);
    await rig.sessions.delete(session.id, rig.caller);
    rig.files.establish();
    await expectBroken(begun);
    await expectOutcome("session_ended");
  });

  test("a refused renewal cuts the download", async () => {
    await start({ leaseMs: 400 });
    rig.files.gone.add(session.id);
    const begun = await paused(version);
    await expectBroken(begun);
    await expectOutcome("session_ended");
  });

  test("a download is broken off also in place of its last bytes", async () => {
    let release = () => {};
    const isLast = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isWaiting = false;
    await start({
      content: (source) => ({
        async openFile(itemId, name, version) {
          const file = await source.openFile(itemId, name, version);
          return file && holdingLastBytes(file, isLast, () => (isWaiting = true));
        },
      }),
    });
    const begun = await begin(version, url);
    const finished = begun.finish();
    await eventually("all but the last bytes to be taken", () => isWaiting);
    rig.files.announceEnd(session.id);
    const { isWhole, body, error } = await finished;
    release();
    expect(isWhole).toBe(false);
    expect(body.length).toBeLessThan(size);
    expect(error).toBeDefined();
  });

  test("a client that accepts no bytes is cut", async () => {
    await start({ stallMs: 200 });
    const begun = await paused(version);
    await expectOutcome("stalled");
    await expectBroken(begun);
  });

  test("storage that gives nothing is not waited for", async () => {
    const never = new Promise<number>(() => {});
    await start({ stallMs: 200, content: () => ({ openFile: async () => fileOf(size, () => never) }) });
    expect((await download(version, url)).status).toBe(503);
  });

  test("storage that gives nothing any more is cut", async () => {
    let isFirst = true;
    const read = (into: Uint8Array) => {
      const read = isFirst ? Promise.resolve(into.byteLength) : new Promise<number>(() => {});
      isFirst = false;
      return read;
    };
    await start({ stallMs: 200, content: () => ({ openFile: async () => fileOf(size, read) }) });
    await expectBroken(await begin(version, url));
    await expectOutcome("stalled");
  });

  test("until the first byte is sent, an error gets its own answer", async () => {
    const failures: (() => Promise<number>)[] = [
      async () => {
        throw new Error("the disk is broken");
      },
      async () => {
        throw new ContentChangedError();
      },
      async () => {
        rig.files.announceEnd(session.id);
        return new Promise<number>(() => {});
      },
    ];
    await start({ content: () => ({ openFile: async () => fileOf(size, failures.shift()!) }) });
    const answers = [
      await download(version, url),
      await download(version, url),
      await download(version, url),
    ];
    expect(answers.map(({ status }) => status)).toEqual([503, 404, 404]);
    expect(answers[0]?.headers["retry-after"]).toBe("1");
  });

  test("a client that accepts few bytes at a time is not", async () => {
    const limits = { requestMs: 100, headersMs: 100, sessionIdleMs: 100, takeMs: 100, sweepMs: 20 };
    await start({ stallMs: 600, limits });
    const { body } = await begin(version, url);
    let received = 0;
    for await (const chunk of body) {
      received += chunk.length;
      // A quarter of a second for each 4 MiB.
      if (Math.floor(received / 2 ** 22) > Math.floor((received - chunk.length) / 2 ** 22)) {
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
    expect(received).toBe(size);
    await expectOutcome("complete");
  });

  test("a file that changes cuts the download", async () => {
    await start();
    const begun = await paused(version);
    const file = await open(join(rig.itemPath, "disk.bin"), "r+");
    await file.write(randomBytes(1000), 0, 1000, size - 1000);
    await file.close();
    await utimes(join(rig.itemPath, "disk.bin"), new Date(), new Date(1_000_000_000_000));
    await expectBroken(begun);
    await expectOutcome("content_changed");
  });

  test("a file that shrinks cuts the download", async () => {
    await start();
    const begun = await paused(version);
    const file = await open(join(rig.itemPath, "disk.bin"), "r+");
    await file.truncate(size - 1);
    await file.close();
    await expectBroken(begun);
    await expectOutcome("content_changed");
  });

  test("a file that can't be read cuts the download", async () => {
    let reads = 0;
    await start({
      content: () => ({
        openFile: async () =>
          fileOf(size, async (into) => {
            if (++reads > 20) throw new Error("the disk is broken");
            return into.byteLength;
          }),
      }),
    });
    await expectBroken(await begin(version, url));
    await expectOutcome("read_failed");
    expect(rig.records.at(-1)?.cause).toMatchObject({ message: "the disk is broken" });
  });

  test("storage that returns less than the file has cuts the download", async () => {
    let left = size - 1;
    await start({
      content: () => ({
        openFile: async () =>
          fileOf(size, async (into) => {
            const length = Math.min(left, into.byteLength);
            left -= length;
            return length;
          }),
      }),
    });
    await expectBroken(await begin(version, url));
    await expectOutcome("content_changed");
  });

  test("a stop cuts downloads and refuses later requests", async () => {
    await start();
    const begun = await paused(version);
    rig.downloads.cutAll();
    await expectBroken(begun);
    await expectOutcome("server_stopping");
    const { status, headers } = await download(version, url);
    expect([status, headers["retry-after"]]).toEqual([503, "1"]);
  });

  test("no more downloads at a time than are allowed", async () => {
    await start({ limit: 1 });
    const begun = await paused(version);
    const refused = await download(version, url);
    expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "5"]);
    expect(refused.body.toString()).toContain("downlease.download.session_share");
    begun.body.on("error", () => {});
    begun.abort();
    await eventually("the place to be free", () => rig.running === 0);
    expect((await download(version, url)).isWhole).toBe(true);
  });
});

describe("over HTTP/2", () => {
  test("nothing of a cut stream looks like its end", async () => {
    await start();
    const connection = await rawConnection(rig.port);
    const path = rig.link(session, "disk.bin");
    const headers = [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", path],
      [":authority", "a"],
    ] as const;
    connection.socket.write(http2Hello + http2Headers(1, headers, { end: true }), "latin1");
    await eventually("the window to be used up", () => connection.received.length > 65_535);
    rig.files.announceEnd(session.id);
    await eventually("the stream to be reset", () => framesOf(connection.received).some(isReset));
    const frames = framesOf(connection.received);
    const isEnd = ({ type, flags }: Frame) => type === frameType.data && (flags & 1) !== 0;
    expect(frames.some(isEnd)).toBe(false);
    expect(frames.filter(isReset).map(({ payload }) => payload)).toEqual(["\0\0\0\x02"]);
    // Other requests on the connection go on.
    connection.socket.write(frame(frameType.ping, 0, 0, "12345678"), "latin1");
    await eventually("an answer", () =>
      framesOf(connection.received).some(({ type }) => type === frameType.ping),
    );
    connection[Symbol.dispose]();
  });
});

describe("over TLS", () => {
  let certificate: Certificate;
  beforeAll(async () => {
    await using directory = await tempDir();
    certificate = await makeCertificate(directory.path, "server", {
      subject: "/CN=localhost",
      alternativeNames: "DNS:localhost,IP:127.0.0.1",
    });
  });

  test.each(versions)("%s sends whole files and cuts downloads", async (version) => {
    await start({ tls: certificate });
    const options = { ca: certificate.cert };
    expect((await download(version, url, options)).body.equals(bytes)).toBe(true);
    const begun = await begin(version, url, options);
    rig.files.announceEnd(session.id);
    const { isWhole, body } = await begun.finish();
    expect([isWhole, body.length < size]).toEqual([false, true]);
  });
});

describe("a record of sent bytes", () => {
  test("is all that was sent, ranges and repetitions included", async () => {
    await start();
    await download("HTTP/1.1", url);
    await download("HTTP/1.1", url, { headers: { range: "bytes=5-14" } });
    await download("HTTP/1.1", rig.url + rig.link(session, "small.bin"));
    await download("HTTP/1.1", url, { method: "HEAD" });
    await eventually("all to be recorded", () => rig.files.bytesOf(session.id, "small.bin") === 5);
    expect(rig.files.bytesOf(session.id, "disk.bin")).toBe(size + 10);
  });

  test("is written at the first bytes, once a quarter of the lease and at the end", async () => {
    await start({ leaseMs: 600_000 });
    await Promise.all([download("HTTP/1.1", url), download("HTTP/1.1", url), download("HTTP/2", url)]);
    await eventually("all to be recorded", () => rig.files.bytesOf(session.id, "disk.bin") === 3 * size);
    expect(rig.files.records.length).toBe(2);
  });

  test("is written while bytes move, and no more when they do not", async () => {
    await start({ leaseMs: 400 });
    const begun = await paused("HTTP/1.1");
    let records = -1;
    // Twice the time in which there would be another one.
    await eventually(
      "records to end",
      () => {
        const isSame = rig.files.records.length === records;
        records = rig.files.records.length;
        return isSame;
      },
      { everyMs: 200 },
    );
    expect((await begun.finish()).isWhole).toBe(true);
    expect(rig.files.records.length).toBeGreaterThan(records);
  });

  test("a store that is down cuts no download, and gets all records when it is up again", async () => {
    await start({ leaseMs: 100 });
    rig.files.isDown = true;
    const begun = await paused("HTTP/1.1");
    const { isWhole } = await begun.finish();
    expect(isWhole).toBe(true);
    expect(rig.files.records).toEqual([]);
  });

  test("a store that is up again without the session cuts its downloads", async () => {
    await start({ leaseMs: 100 });
    rig.files.isDown = true;
    const begun = await paused("HTTP/1.1");
    rig.files.gone.add(session.id);
    rig.files.isDown = false;
    // While the client reads nothing: otherwise it may have the whole file before the store is tried again.
    await expectOutcome("session_ended");
    await expectBroken(begun);
  });

  test("of bytes that were sent while the store was down is written later", async () => {
    await start({ leaseMs: 2_000 });
    rig.files.isDown = true;
    await download("HTTP/1.1", rig.url + rig.link(session, "small.bin"));
    await eventually("the download to end", () => rig.running === 0);
    rig.files.isDown = false;
    await eventually("all to be recorded", () => rig.files.bytesOf(session.id, "small.bin") === 5);
  });
});

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly payload: string;
}

const isReset = ({ type }: Frame) => type === frameType.resetStream;

function framesOf(received: string): Frame[] {
  const frames: Frame[] = [];
  const all = Buffer.from(received, "latin1");
  for (let at = 0; at + 9 <= all.length; at += 9 + all.readUIntBE(at, 3)) {
    const payload = all.toString("latin1", at + 9, at + 9 + all.readUIntBE(at, 3));
    frames.push({ type: all.readUInt8(at + 3), flags: all.readUInt8(at + 4), payload });
  }
  return frames;
}

/** A file that gives what `read` gives. */
function fileOf(size: number, read: (into: Uint8Array) => Promise<number>): ContentFile {
  const close = async () => {};
  return { size, version: "1", reader: () => ({ read }), close, [Symbol.asyncDispose]: close };
}

/** The last 1000 bytes come when they may. */
function holdingLastBytes(file: ContentFile, may: Promise<void>, waits: () => void): ContentFile {
  return {
    size: file.size,
    version: file.version,
    reader: (range) => {
      const reader = file.reader(range);
      let left = file.size;
      return {
        read: async (into) => {
          if (left <= 1000) {
            waits();
            await may;
          }
          const max = left > 1000 ? Math.min(into.byteLength, left - 1000) : into.byteLength;
          const length = await reader.read(into.subarray(0, max));
          left -= length;
          return length;
        },
      };
    },
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}
