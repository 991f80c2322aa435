import { jsonLine } from "./text.ts";

/** Where a command writes: results to the standard output, all else to the standard error. */
export class Output {
  readonly #out: NodeJS.WriteStream;
  readonly #err: NodeJS.WriteStream;
  readonly isJson: boolean;

  constructor({ json = false, out = process.stdout, err = process.stderr }: OutputOptions = {}) {
    this.isJson = json;
    this.#out = out;
    this.#err = err;
  }

  /** Columns of the terminal; undefined when the output is none. */
  get width(): number | undefined {
    return this.isTerminal ? this.#out.columns || 80 : undefined;
  }

  get height(): number {
    return this.#out.rows || 24;
  }

  /** Whether what is written can be drawn anew. */
  get isTerminal(): boolean {
    return this.#out.isTTY === true && !this.isJson;
  }

  lines(lines: readonly string[]): void {
    this.#out.write(lines.map((line) => `${line}\n`).join(""));
  }

  json(value: unknown): void {
    this.#out.write(`${jsonLine(value)}\n`);
  }

  /** For people, not a result. */
  tell(message: string): void {
    this.#err.write(`downlease: ${message}\n`);
  }

  /** Escape sequences and the like, as they are. */
  raw(text: string): void {
    this.#out.write(text);
  }
}

export interface OutputOptions {
  readonly json?: boolean | undefined;
  readonly out?: NodeJS.WriteStream;
  readonly err?: NodeJS.WriteStream;
}
