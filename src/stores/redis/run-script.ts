import type { Cluster, Redis } from "ioredis";
import { RawCommand, type RawReply } from "./ioredis-internals.ts";
import type { Reply, Script } from "./scripts.ts";
import type { Limited, TimeLimit } from "./time-limit.ts";

export type RedisClient = Redis | Cluster;

/**
 * Runs a script in one round trip, or two if the server does not have it yet and needs its text. FCALL would save
 * neither that nor much time in Redis, and needs a library that every release installs for all others.
 */
export function runScript<Input, Output>(
  client: RedisClient,
  script: Script<Input, Output>,
  input: Input,
  limit: TimeLimit,
): Promise<Output> {
  return new Promise((resolve, reject) => startScript(client, script, input, limit, resolve, reject));
}

/** As `runScript`, for a caller that makes a promise itself. */
export function startScript<Input, Output>(
  client: RedisClient,
  script: Script<Input, Output>,
  input: Input,
  limit: TimeLimit,
  resolve: (output: Output) => void,
  reject: (error: unknown) => void,
): void {
  new Run(client, script, [input], limit, ([output]) => resolve(output!), reject).start();
}

/**
 * Runs a script for each input; outputs are in the order of the inputs. All commands are sent together, and those for
 * one key run in order. A server that has lost the script gets the text once.
 */
export function runScriptForEach<Input, Output>(
  client: RedisClient,
  script: Script<Input, Output>,
  inputs: readonly Input[],
  limit: TimeLimit,
): Promise<Output[]> {
  return new Promise((resolve, reject) => {
    if (inputs.length === 0) resolve([]);
    else new Run(client, script, inputs, limit, resolve, reject).start();
  });
}

class Run<Input, Output> implements Limited {
  readonly #client: RedisClient;
  readonly #script: Script<Input, Output>;
  readonly #inputs: readonly Input[];
  readonly #limit: TimeLimit;
  readonly #resolve: (outputs: Output[]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #outputs: Output[] = [];
  #unanswered = 0;
  /** Indexes of inputs that a server refused because it has lost the script. */
  #undone: Set<number> | undefined;
  isOver = false;

  constructor(
    client: RedisClient,
    script: Script<Input, Output>,
    inputs: readonly Input[],
    limit: TimeLimit,
    resolve: (outputs: Output[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#client = client;
    this.#script = script;
    this.#inputs = inputs;
    this.#limit = limit;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    this.#limit.begin(this);
    this.#send(this.#inputs.keys(), this.#inputs.length, "evalsha");
  }

  timedOut(): void {
    this.#fail(new Error("Redis did not answer in time"));
  }

  #replied(index: number, reply: RawReply): void {
    try {
      this.#outputs[index] = this.#script.output(partsOf(reply));
    } catch (error) {
      this.#fail(error);
    }
    this.#answered();
  }

  #failed(index: number, error: Error): void {
    if (!error.message.startsWith("NOSCRIPT")) this.#fail(error);
    else this.#undone = (this.#undone ?? new Set()).add(index);
    this.#answered();
  }

  #send(indexes: Iterable<number>, count: number, firstCommand: "evalsha" | "eval"): void {
    this.#unanswered = count;
    let command = firstCommand;
    for (const index of indexes) {
      this.#client.sendCommand(this.#call(index, command));
      command = "evalsha";
    }
  }

  #call(index: number, command: "evalsha" | "eval"): RawCommand {
    const script = this.#script;
    const input = this.#inputs[index]!;
    const key = script.key(input);
    return new RawCommand(
      command,
      key,
      encodeCall(script, command, key, script.args(input)),
      (reply) => this.#replied(index, reply),
      (error) => this.#failed(index, error),
    );
  }

  #answered(): void {
    // After a failure late replies are ignored, and nothing more is sent.
    if (--this.#unanswered > 0 || this.isOver) return;
    if (this.#undone !== undefined) {
      this.#repeat(this.#undone);
      return;
    }
    this.isOver = true;
    this.#resolve(this.#outputs);
  }

  /** Sends the undone inputs again, and those that came after them for the same key, so that the order is kept. */
  #repeat(undone: ReadonlySet<number>): void {
    const keys = new Set<string>();
    const indexes = [...this.#inputs.keys()].filter((index) => {
      const key = this.#script.key(this.#inputs[index]!);
      if (undone.has(index)) keys.add(key);
      return keys.has(key);
    });
    this.#undone = undefined;
    // Of several servers of a cluster without the script each gets the text in another round: a round sends it once.
    this.#send(indexes, indexes.length, "eval");
  }

  #fail(error: unknown): void {
    this.isOver = true;
    this.#reject(error);
  }
}

/** The encoded arguments that are the same for each call of a script. */
const heads = new WeakMap<Script<never, unknown>, { readonly evalsha: string; readonly eval: string }>();

function headOf(script: Script<never, unknown>) {
  let head = heads.get(script);
  if (head === undefined) {
    head = {
      evalsha: bulk("evalsha") + bulk(script.sha1) + bulk("1"),
      eval: bulk("eval") + bulk(script.text) + bulk("1"),
    };
    heads.set(script, head);
  }
  return head;
}

/** A call of a script in RESP. */
export function encodeCall(
  script: Script<never, unknown>,
  command: "evalsha" | "eval",
  key: string,
  args: readonly (string | number)[],
): string {
  let encoded = `*${args.length + 4}\r\n${headOf(script)[command]}${bulk(key)}`;
  for (const arg of args) encoded += bulk(String(arg));
  return encoded;
}

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

/** A reply is a table, or one text with its parts separated by blanks. */
export function partsOf(reply: RawReply): Reply {
  const parts = Array.isArray(reply)
    ? reply.map((part) => (typeof part === "number" ? part : part.toString()))
    : reply.toString().split(" ");
  return parts as unknown as Reply;
}
