import { inspect } from "node:util";

/** A value that must not be printed. Every way of printing it gives `toString`; only `reveal` gives the value. */
abstract class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  abstract toString(): string;

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** A URL that may carry credentials, which show as `***`. */
export class SecretUrl extends Secret<string> {
  override toString(): string {
    // Greedy up to the last `@`: a password that was not percent-encoded is hidden whole.
    return this.reveal().replace(/^([^:/]*:\/\/).*@/s, "$1***@");
  }
}

/** A text, which shows as `***`. */
export class SecretText extends Secret<string> {
  override toString(): string {
    return "***";
  }
}

/** Bytes, which show as `***`. */
export class SecretBytes extends Secret<Uint8Array> {
  override toString(): string {
    return "***";
  }
}
