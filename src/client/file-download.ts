import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type FileInfo,
  FileInfo_PrepareStatus as Status,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { type Checksums, checksumsOf, fileHas } from "./checksums.ts";
import { onDisk } from "./disk.ts";
import { DiskLock } from "./disk-lock.ts";
import { DownloadError } from "./download-error.ts";
import type { Fetcher, FetchOutcome, Sink } from "./fetch.ts";
import { partSuffix } from "./file-names.ts";
import { type HeldSession, ItemChanged } from "./held-session.ts";
import { PartFile } from "./part-file.ts";
import type { ProgressBoard } from "./progress.ts";
import { backOffMs, pause } from "./retry.ts";
import type { Persistence, Setback } from "./retry-loop.ts";
import type { StateFile } from "./state-file.ts";

/** A smaller file is started over in the next run, which costs less than to remember it. */
const leastRememberedBytes = 1024 * 1024;
const pollBackOff = { firstMs: 100, maxMs: 2_000 };

/** What the files of a download share. */
export interface Surroundings {
  readonly directory: string;
  readonly session: HeldSession;
  readonly fetcher: Fetcher;
  readonly state: StateFile;
  readonly board: ProgressBoard;
  readonly persistence: Persistence;
  readonly signal: AbortSignal;
  /** Told of bytes that came. */
  readonly onFetched: (bytes: number) => void;
}

/** A file as the server has made it ready. */
export interface PreparedFile {
  readonly name: string;
  readonly link: string;
  readonly size: number;
  /** `sha256` is among them. */
  readonly checksums: Checksums;
}

/**
 * Has a file made ready, and waits for that.
 *
 * @throws DownloadError when the server says that it can't
 * @throws ItemChanged
 */
export async function prepared(name: string, around: Surroundings): Promise<PreparedFile> {
  const { session, persistence, board, signal } = around;
  let info = await session.prepare(name, signal);
  for (let polls = 1; ; polls++) {
    if (info.status === Status.PREPARED) return readyFile(name, info);
    if (info.status === Status.ERROR) {
      await session.demandUnchanged(signal);
      const text = info.errorMessage?.defaultMessage ?? "the server can't prepare it";
      throw new DownloadError("unavailable_file", `${name}: ${text}`, { file: name });
    }
    board.set(name, { state: "preparing" });
    // It may take as long as it takes, as long as the server says so.
    persistence.renew();
    await pause(backOffMs(polls, pollBackOff), signal);
    // Nobody has asked for it in a session that has taken the place of another.
    info =
      info.status === Status.UNPREPARED
        ? await session.prepare(name, signal)
        : await session.file(name, signal);
  }
}

function readyFile(name: string, info: FileInfo): PreparedFile {
  const link = info.downloadEndpoint?.uri;
  const checksums = checksumsOf(info);
  const refusal =
    link === undefined
      ? "has no link"
      : info.size === undefined || info.size < 0n || info.size > BigInt(Number.MAX_SAFE_INTEGER)
        ? "has no size"
        : !/^[0-9a-f]{64}$/.test(checksums.get("sha256") ?? "")
          ? "has no SHA-256, without which it can't be verified"
          : undefined;
  if (refusal !== undefined) throw new DownloadError("refused", `${name} ${refusal}`, { file: name });
  return { name, link: link!, size: Number(info.size), checksums };
}

/** The download of one file, from what is on the disk to its final name. */
export class FileDownload implements Sink {
  readonly #file: PreparedFile;
  readonly #around: Surroundings;
  readonly #part: PartFile;
  /** Bytes that there were at most. */
  #best = 0;
  etag: string | undefined;

  private constructor(file: PreparedFile, around: Surroundings, part: PartFile) {
    this.#file = file;
    this.#around = around;
    this.#part = part;
  }

  /**
   * Downloads a file, unless it is there already. Gives which of both it was.
   *
   * @throws DownloadError
   * @throws ItemChanged
   */
  static async run(file: PreparedFile, around: Surroundings): Promise<"downloaded" | "present"> {
    const { directory, state, board } = around;
    const { name, size } = file;
    using _ = DiskLock.take(directory, "file", name);
    const target = join(directory, name);
    const partPath = target + partSuffix;
    board.set(name, { size });
    if (await isPresent(target, file, around)) {
      await onDisk(partPath, () => rm(partPath, { force: true }), name);
      await state.removePart(name);
      board.set(name, { state: "done", bytesDone: size });
      return "present";
    }
    await using part = await PartFile.open(partPath, name, file.checksums);
    await new FileDownload(file, around, part).#run(target);
    board.set(name, { state: "done", bytesDone: size });
    return "downloaded";
  }

  get length(): number {
    return this.#part.length;
  }

  get size(): number {
    return this.#file.size;
  }

  async begin(etag: string | undefined): Promise<void> {
    const { state, board } = this.#around;
    const { name, size } = this.#file;
    if (this.#part.length > 0) await this.#part.reset();
    board.set(name, { bytesDone: 0 });
    this.etag = etag;
    if (size < leastRememberedBytes || etag === undefined || state.part(name)?.etag === etag) return;
    await state.setPart({ name, size, sha256: this.#file.checksums.get("sha256")!, etag });
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    const { board, persistence, onFetched } = this.#around;
    const room = this.#part.write(chunk);
    onFetched(chunk.length);
    if (this.#part.length > this.#best) {
      this.#best = this.#part.length;
      persistence.renew();
      board.note(undefined);
    }
    board.set(this.#file.name, { bytesDone: this.#part.length });
    return room;
  }

  async #run(target: string): Promise<void> {
    const { state, board } = this.#around;
    const { name } = this.#file;
    await this.#adopt();
    for (let strikes = 1; ; strikes++) {
      await this.#fetchAll();
      board.set(name, { state: "verifying" });
      const wrong = this.#part.mismatch();
      if (wrong === undefined) break;
      await this.#part.reset();
      await state.removePart(name);
      const text = `what came has another ${wrong} than the server tells`;
      if (strikes === 2) {
        await this.#part.remove();
        throw new DownloadError("checksum", `${name}: ${text}, twice`, { file: name });
      }
      board.note(`${name}: ${text}; it is downloaded once more`);
      this.etag = undefined;
      this.#best = 0;
    }
    await this.#part.finish(target);
    await state.removePart(name);
  }

  /** Takes over what an earlier run has left, if it is a part of the same bytes. */
  async #adopt(): Promise<void> {
    const { state, board, signal } = this.#around;
    const { name, size, checksums } = this.#file;
    const known = state.part(name);
    if (known?.size !== size || known.sha256 !== checksums.get("sha256")) return await this.#part.reset();
    board.set(name, { state: "verifying" });
    const onRead = () => board.set(name, { bytesDone: this.#part.length });
    this.#best = await this.#part.adopt(size, signal, onRead);
    this.etag = known.etag;
  }

  async #fetchAll(): Promise<void> {
    const { fetcher, board, persistence, signal } = this.#around;
    const { name, size } = this.#file;
    board.set(name, { state: "downloading", bytesDone: this.#part.length });
    let { link } = this.#file;
    let failures = 0;
    while (this.#part.length < size) {
      const before = this.#best;
      const outcome = await fetcher.fetch(link, this, signal);
      await this.#part.flush();
      if (outcome.outcome === "complete") return;
      if (outcome.outcome === "refused") {
        throw new DownloadError("refused", `${name}: ${outcome.text}`, { file: name });
      }
      failures = this.#best > before ? 1 : failures + 1;
      // A link that leads nowhere may be one of a session that is gone; the next is asked for without waiting.
      if (outcome.outcome !== "gone" || failures > 1) {
        await persistence.wait({ ...setbackOf(outcome), file: name }, failures, signal);
      }
      if (outcome.outcome === "gone" || failures > 1) link = await this.#newLink();
    }
  }

  async #newLink(): Promise<string> {
    const { name, size, checksums } = this.#file;
    const again = await prepared(name, this.#around);
    // Another content version has another session, so that this should have been noticed before.
    if (again.size !== size || again.checksums.get("sha256") !== checksums.get("sha256")) {
      throw new ItemChanged();
    }
    this.#around.board.set(name, { state: "downloading" });
    return again.link;
  }
}

function setbackOf(outcome: Exclude<FetchOutcome, { outcome: "complete" | "refused" }>): Setback {
  switch (outcome.outcome) {
    case "broken":
      return { text: breakText(outcome.cause), reason: "unreachable", cause: outcome.cause };
    case "unavailable":
      return {
        text: `the link answers ${outcome.status}`,
        reason: "unreachable",
        retryAfterMs: outcome.retryAfterMs,
      };
    case "gone":
      return { text: `the link answers ${outcome.status}`, reason: "refused" };
  }
}

/** Node.js calls an answer that was cut off "aborted", as if we had been the one to do that. */
function breakText({ message }: Error): string {
  return message === "aborted" ? "the connection was cut" : message;
}

/** Whether the file is there under its final name, with the right bytes. */
async function isPresent(
  path: string,
  file: PreparedFile,
  { board, signal }: Surroundings,
): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isFile() || stats.size !== file.size) return false;
  board.set(file.name, { state: "verifying" });
  return await onDisk(path, () => fileHas(path, file.checksums, signal), file.name);
}
