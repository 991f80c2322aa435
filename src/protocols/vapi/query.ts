import { ServiceError } from "../../domain/errors.ts";
import { decodePairs, type Pair } from "./codecs/form.ts";
import type { Dialect } from "./dialects.ts";

/** A parsed query string. */
export interface Query {
  /** "" when there is none; undefined when it is in another dialect's parameter. */
  readonly action: string | undefined;
  /** The pairs that are not the action. */
  readonly members: readonly Pair[];
}

/**
 * Parses the query strings of a dialect. Frequent ones can be prepared and then cost one look-up.
 */
export class QueryReader {
  readonly #actionParameter: string;
  readonly #foreignActionParameter: string | undefined;
  readonly #prepared = new Map<string, Query>();

  constructor(dialect: Pick<Dialect, "actionParameter" | "foreignActionParameter">) {
    this.#actionParameter = dialect.actionParameter;
    this.#foreignActionParameter = dialect.foreignActionParameter;
    this.#prepare("");
  }

  prepareAction(action: string): void {
    if (action !== "") this.#prepare(`${this.#actionParameter}=${action}`);
  }

  /**
   * @throws ServiceError `invalid_argument` when the action is repeated; `invalid_request` when the
   *   percent-encoding is broken
   */
  read(text: string): Query {
    return this.#prepared.get(text) ?? this.#parse(text);
  }

  #prepare(text: string): void {
    this.#prepared.set(text, this.#parse(text));
  }

  #parse(text: string): Query {
    const pairs = decodePairs(text);
    const actions = pairs.filter(([name]) => name === this.#actionParameter);
    if (actions.length > 1) throw new ServiceError("downlease.argument.repeated", [this.#actionParameter]);
    const isForeign = pairs.some(([name]) => name === this.#foreignActionParameter);
    return {
      action: isForeign ? undefined : (actions[0]?.[1] ?? ""),
      members: pairs.filter(([name]) => name !== this.#actionParameter),
    };
  }
}
