import { visible } from "../client/printable.ts";
import { jsonLine } from "./text.ts";

/**
 * The output of a command: results go to the standard output, messages to the standard error. No line controls the
 * terminal, whatever a server has sent.
 */
export class Output {
  readonly #out: NodeJS.WriteStream;
  readonly #err: NodeJS.WriteStream;
  readonly isJson: boolean;
  readonly #isDumb: boolean;

  constructor({ json = false, isDumb = false, out, err }: OutputOptions) {
    this.isJson = json;
    this.#isDumb = isDumb;
    this.#out = out;
    this.#err = err;
  }

  /** Columns of the terminal; undefined if the output is not one. */
  get width(): number | undefined {
    return this.isTerminal ? this.#out.columns || 80 : undefined;
  }

  get height(): number {
    return this.#out.rows || 24;
  }

  get isTerminal(): boolean {
    return this.#out.isTTY === true && !this.isJson;
  }

  /** Whether lines of the standard output can be drawn over. */
  get isDrawable(): boolean {
    return this.isTerminal && !this.#isDumb;
  }

  /** The same of the standard error. */
  get isErrorDrawable(): boolean {
    return this.#err.isTTY === true && !this.#isDumb;
  }

  lines(lines: readonly string[]): void {
    this.#out.write(lines.map((line) => `${visible(line)}\n`).join(""));
  }

  json(value: unknown): void {
    this.#out.write(`${jsonLine(value)}\n`);
  }

  /** Writes a message for people, which may have several lines. */
  note(message: string): void {
    this.#err.write(`downlease: ${message.split("\n").map(visible).join("\n")}\n`);
  }

  /** Writes text without escaping it, for control sequences. */
  raw(text: string): void {
    this.#out.write(text);
  }
}

export interface OutputOptions {
  readonly json?: boolean | undefined;
  /** Whether a terminal understands no control sequences. */
  readonly isDumb?: boolean;
  readonly out: NodeJS.WriteStream;
  readonly err: NodeJS.WriteStream;
}
