import { HTTPParser } from "http-parser-js";
import { Body, type Decoder } from "./body.ts";
import { type Connection, type Receiver, reset } from "./connection.ts";

/** The answer to a request, from when its headers have come. */
export interface Answer {
  readonly statusCode: number;
  /** By names in lower case; those of one name are joined with commas. */
  readonly headers: Readonly<Record<string, string>>;
  /** Every answer has one; it may be empty. */
  readonly body: Body;
}

/** The connection broke before a byte of the answer came: what happens to one that was unused for long. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** Bytes in a row that may come without any of a body: headers, and what is between the chunks of a body. */
const maxHeadBytes = 64 * 1024;

/**
 * Reads the answer to a request that was written to a connection.
 *
 * @param onComplete called when the body has come whole and the connection can be used for another request
 */
export function readAnswer(connection: Connection, onComplete: () => void): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  connection.use(new Head({ connection, onComplete, resolve, reject }));
  return promise;
}

interface HeadOptions {
  readonly connection: Connection;
  onComplete(): void;
  resolve(answer: Answer): void;
  reject(reason: Error): void;
}

interface ParsedHead {
  readonly statusCode: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly shouldKeepAlive: boolean;
}

/** Reads the headers of an answer, and bodies that have no declared length. */
class Head implements Receiver, Decoder {
  readonly #options: HeadOptions;
  readonly #parser = new HTTPParser(HTTPParser.RESPONSE);
  #hasBegun = false;
  /** Bytes since the last one of the body. */
  #headBytes = 0;
  #body: Body | undefined;

  constructor(options: HeadOptions) {
    this.#options = options;
    this.#parser[HTTPParser.kOnHeadersComplete] = (head) => this.#onHead(head);
    this.#parser[HTTPParser.kOnBody] = (bytes, _, length) => this.#place(bytes, length);
    this.#parser[HTTPParser.kOnMessageComplete] = () => this.#body?.complete();
  }

  memory(): undefined {
    return undefined;
  }

  filled(): boolean {
    return true;
  }

  received(bytes: Buffer): boolean {
    this.#hasBegun = true;
    try {
      this.decode(bytes);
    } catch (error) {
      this.#options.connection.destroy(error as Error);
    }
    // The rest of a body is read when its reader wants it.
    return this.#body === undefined || this.#body.isComplete;
  }

  ended(): void {}

  closed(reason: Error): void {
    this.#options.reject(this.#hasBegun ? reason : new NoAnswer(reason.message, { cause: reason }));
  }

  decode(bytes: Buffer): void {
    this.#headBytes += bytes.byteLength;
    const outcome = this.#parser.execute(bytes);
    if (outcome instanceof Error) throw outcome;
    if (this.#headBytes > maxHeadBytes) throw new Error("the headers of the storage's answer are too long");
  }

  end(): void {
    const outcome = this.#parser.finish();
    if (outcome instanceof Error || !this.#body?.isComplete) throw reset("the body ended early");
  }

  #place(bytes: Buffer, length: number): void {
    // The parser takes any number for the length of a chunk, and with a negative one it never ends.
    if (!(length > 0)) throw new Error("the storage declared an impossible length");
    this.#headBytes = 0;
    this.#body?.place(bytes);
  }

  #onHead({ statusCode, headers: pairs, shouldKeepAlive }: ParsedHead): void {
    if (this.#body !== undefined) throw new Error("the storage answered twice");
    if (statusCode < 200) return;
    const { connection, onComplete, resolve } = this.#options;
    const headers = headersOf(pairs);
    this.#body = new Body({
      connection,
      length: lengthOf(headers),
      decoder: this,
      onComplete: shouldKeepAlive ? onComplete : () => connection.destroy(),
    });
    connection.use(this.#body);
    resolve({ statusCode, headers, body: this.#body });
  }
}

function headersOf(pairs: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (let at = 0; at < pairs.length; at += 2) {
    const name = pairs[at]!.toLowerCase();
    const before = headers[name];
    headers[name] = before === undefined ? pairs[at + 1]! : `${before}, ${pairs[at + 1]}`;
  }
  return headers;
}

function lengthOf(headers: Readonly<Record<string, string>>): number | undefined {
  const { "transfer-encoding": encoding, "content-length": declared } = headers;
  if (encoding !== undefined && encoding.toLowerCase() !== "chunked")
    throw new Error(`the storage sent the transfer coding ${encoding}, which was not requested`);
  if (encoding !== undefined || declared === undefined) return undefined;
  // The parser has checked that repeated ones agree.
  const [text = ""] = declared.split(", ");
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Error(`the storage declared a length of ${text}`);
}
