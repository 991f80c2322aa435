import { type Cluster, Command, type Redis } from "ioredis";
import type { Reply, Script } from "./scripts.ts";

export type RedisClient = Redis | Cluster;

/**
 * Runs a script in one round trip; a server that does not know it yet is sent the text. FCALL would save neither this
 * nor much time in Redis, and needs a library that every release installs for all others.
 */
export async function runScript<Input, Output>(
  client: RedisClient,
  script: Script<Input, Output>,
  input: Input,
  timeLimitMs: number,
): Promise<Output> {
  return (await runScriptForEach(client, script, [input], timeLimitMs))[0]!;
}

/**
 * Runs a script for each input; outputs are in the order of the inputs. All commands leave together, and those about
 * one key run in order. A server that has lost the script is sent the text once.
 */
export function runScriptForEach<Input, Output>(
  client: RedisClient,
  script: Script<Input, Output>,
  inputs: readonly Input[],
  timeLimitMs: number,
): Promise<Output[]> {
  return new Promise((resolve, reject) => {
    if (inputs.length === 0) resolve([]);
    else new Run(client, script, inputs, resolve, reject).start(timeLimitMs);
  });
}

class Run<Input, Output> {
  readonly #client: RedisClient;
  readonly #script: Script<Input, Output>;
  readonly #inputs: readonly Input[];
  readonly #resolve: (outputs: Output[]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #outputs: Output[] = [];
  #unanswered = 0;
  /** Inputs that a server did not run because it has lost the script. */
  #undone: Set<number> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    client: RedisClient,
    script: Script<Input, Output>,
    inputs: readonly Input[],
    resolve: (outputs: Output[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#client = client;
    this.#script = script;
    this.#inputs = inputs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(timeLimitMs: number): void {
    this.#timer = setTimeout(() => this.#fail(new Error("Redis did not answer in time")), timeLimitMs);
    this.#send(this.#inputs.keys(), this.#inputs.length, "evalsha");
  }

  replied(index: number, reply: RawReply): void {
    try {
      this.#outputs[index] = this.#script.output(partsOf(reply));
    } catch (error) {
      this.#fail(error);
    }
    this.#answered();
  }

  failed(index: number, error: Error): void {
    if (!error.message.startsWith("NOSCRIPT")) this.#fail(error);
    else this.#undone = (this.#undone ?? new Set()).add(index);
    this.#answered();
  }

  #send(indexes: Iterable<number>, count: number, firstCommand: "evalsha" | "eval"): void {
    this.#unanswered = count;
    let command = firstCommand;
    for (const index of indexes) {
      this.#client.sendCommand(new ScriptCall(this, index, command, this.#script, this.#inputs[index]!));
      command = "evalsha";
    }
  }

  #answered(): void {
    // Without a timer the run is over: what comes in now is late, and nothing more must be sent.
    if (--this.#unanswered > 0 || this.#timer === undefined) return;
    if (this.#undone !== undefined) {
      this.#repeat(this.#undone);
      return;
    }
    clearTimeout(this.#timer);
    this.#resolve(this.#outputs);
  }

  /** What is undone, and what came after it on the same key: nothing may be overtaken. */
  #repeat(undone: ReadonlySet<number>): void {
    const keys = new Set<string>();
    const indexes = [...this.#inputs.keys()].filter((index) => {
      const key = this.#script.key(this.#inputs[index]!);
      if (undone.has(index)) keys.add(key);
      return keys.has(key);
    });
    this.#undone = undefined;
    // Each server of a cluster gets the text in a turn of its own; every turn does one input at least.
    this.#send(indexes, indexes.length, "eval");
  }

  #fail(error: unknown): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#reject(error);
  }
}

/**
 * A command that tells its run what became of it, and needs no promise, timer or conversion of its own: with those
 * of ioredis a heartbeat of a batch costs this process a quarter more CPU time (`bench/redis.ts`).
 */
class ScriptCall<Input, Output> extends Command {
  readonly #key: string;
  readonly #wire: string;

  constructor(
    run: Run<Input, Output>,
    index: number,
    command: "evalsha" | "eval",
    script: Script<Input, Output>,
    input: Input,
  ) {
    super(command);
    this.#key = script.key(input);
    const args = script.args(input);
    let wire = `*${args.length + 4}\r\n`;
    wire += bulk(command) + bulk(command === "eval" ? script.text : script.sha1) + oneKey + bulk(this.#key);
    for (const arg of args) wire += bulk(String(arg));
    this.#wire = wire;
    // ioredis reports a command's end to its diagnostics channel by the promise, which this one does not settle.
    this.isTraced = true;
    this.resolve = (reply: RawReply) => run.replied(index, reply);
    this.reject = (error: Error) => run.failed(index, error);
  }

  override toWritable(): string {
    return this.#wire;
  }

  override getKeys(): string[] {
    return [this.#key];
  }

  override setTimeout(): void {}
}

const oneKey = bulk("1");

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

/** A tag and what belongs to it: a table, or one text with blanks between the parts. */
type RawReply = Buffer | (Buffer | number)[];

function partsOf(reply: RawReply): Reply {
  const parts = Array.isArray(reply)
    ? reply.map((part) => (typeof part === "number" ? part : part.toString()))
    : reply.toString().split(" ");
  return parts as unknown as Reply;
}
