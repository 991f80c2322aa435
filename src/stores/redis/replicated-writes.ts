import { Cluster, type Redis } from "ioredis";
import { ServiceError } from "../../domain/errors.ts";
import { slotOf, TracedCommand } from "./ioredis-internals.ts";
import { commandTimeoutMs } from "./reconnect-policy.ts";
import { encodeCall, partsOf, type RedisClient } from "./run-script.ts";
import type { Script } from "./scripts.ts";
import { type Limited, TimeLimit } from "./time-limit.ts";

/** Half of what a call may take: it may have to wait for the end of the round before its own. */
const waitMs = commandTimeoutMs / 2;

export interface ReplicatedWritesOptions {
  /** A client of its own: WAIT blocks its connection, and a keep-alive must not wait for replicas. */
  readonly client: RedisClient;
  /** How many replicas must have a change. */
  readonly replicas: number;
  /** Called for each answered WAIT, with the seconds that it took. */
  readonly observeWait: (seconds: number) => void;
}

/**
 * Runs scripts whose changes must be on replicas before they count (https://redis.io/docs/latest/commands/wait). WAIT counts
 * the replicas that have all that was written on its own connection, so it must follow a script on the connection that the
 * script has run on. It blocks that connection, so the scripts for one server run in rounds: those that arrive during a round
 * are sent after it, together, with one WAIT for all of them. What has no time left is never sent.
 */
export class ReplicatedWrites {
  readonly #client: RedisClient;
  readonly #options: ReplicatedWritesOptions;
  readonly #limit = new TimeLimit(commandTimeoutMs);
  /** By the server that has the key. */
  readonly #rounds = new Map<string, Rounds>();

  constructor(options: ReplicatedWritesOptions) {
    this.#client = options.client;
    this.#options = options;
    // The connection for the other commands logs why Redis is unreachable.
    options.client.on("error", () => {});
  }

  /** Rejects with ServiceError `downlease.store.not_replicated` when the change was made on too few servers in time. */
  run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    return new Promise((resolve, reject) => {
      const write = new Write(this.#client, script, input, resolve, reject);
      this.#limit.begin(write);
      this.#roundsFor(write.key).add(write);
    });
  }

  close(): void {
    this.#client.disconnect();
  }

  #roundsFor(key: string): Rounds {
    const client = this.#client;
    const server = client instanceof Cluster ? (client.slots[slotOf(key)]?.[0] ?? "") : "";
    let rounds = this.#rounds.get(server);
    if (rounds === undefined) {
      // Servers of a cluster come and go, under ever new addresses.
      for (const [other, { isIdle }] of this.#rounds) if (isIdle) this.#rounds.delete(other);
      rounds = new Rounds(this.#options);
      this.#rounds.set(server, rounds);
    }
    return rounds;
  }
}

/** What a round needs of a run of a script. */
interface PendingWrite {
  readonly isOver: boolean;
  /** The connection that the script was written to last. */
  readonly stream: object | undefined;
  readonly writtenAt: number;
  /** Resolves when the script has run; rejects when it may not have. */
  send(): Promise<void>;
  succeed(): void;
  fail(error: unknown): void;
}

class Write<Input, Output> implements Limited, PendingWrite {
  readonly key: string;
  readonly #client: RedisClient;
  readonly #script: Script<Input, Output>;
  readonly #input: Input;
  readonly #resolve: (output: Output) => void;
  readonly #reject: (error: unknown) => void;
  #command: TracedCommand | undefined;
  #output: { readonly value: Output } | undefined;
  isOver = false;

  constructor(
    client: RedisClient,
    script: Script<Input, Output>,
    input: Input,
    resolve: (output: Output) => void,
    reject: (error: unknown) => void,
  ) {
    this.key = script.key(input);
    this.#client = client;
    this.#script = script;
    this.#input = input;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get stream(): object | undefined {
    return this.#command?.stream;
  }

  get writtenAt(): number {
    return this.#command?.writtenAt ?? 0;
  }

  async send(): Promise<void> {
    try {
      await this.#call("evalsha");
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      await this.#call("eval");
    }
  }

  succeed(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#resolve(this.#output!.value);
  }

  fail(error: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#reject(error);
  }

  timedOut(): void {
    const late = new Error("Redis did not answer in time");
    this.fail(this.#output === undefined ? late : notReplicated(late));
  }

  #call(command: "evalsha" | "eval"): Promise<void> {
    const { key } = this;
    const script = this.#script;
    return new Promise((resolve, reject) => {
      const encoded = encodeCall(script, command, key, script.args(this.#input));
      this.#command = new TracedCommand(
        command,
        key,
        encoded,
        (reply) => {
          try {
            this.#output = { value: script.output(partsOf(reply)) };
            resolve();
          } catch (error) {
            reject(error);
          }
        },
        reject,
      );
      this.#client.sendCommand(this.#command);
    });
  }
}

/** A WAIT that has been sent. */
interface Wait {
  readonly writtenAt: number;
  /** Replicas that have everything that was written before it on its connection. */
  readonly count: Promise<number>;
}

/** The writes to one server, some at a time. */
class Rounds {
  readonly #options: ReplicatedWritesOptions;
  #waiting: PendingWrite[] = [];
  #isRunning = false;

  constructor(options: ReplicatedWritesOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return !this.#isRunning;
  }

  add(write: PendingWrite): void {
    this.#waiting.push(write);
    if (this.#isRunning) return;
    this.#isRunning = true;
    // Writes that are made together share a round.
    queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const writes = this.#waiting.filter(({ isOver }) => !isOver);
      this.#waiting = [];
      await this.#round(writes);
    }
    this.#isRunning = false;
  }

  async #round(writes: readonly PendingWrite[]): Promise<void> {
    const sent = writes.map((write) => write.send());
    const waits = new Map<object, Wait>();
    for (const { stream } of writes)
      if (stream !== undefined && !waits.has(stream)) this.#wait(stream, waits);
    await Promise.all(writes.map((write, index) => this.#confirm(write, sent[index]!, waits)));
  }

  async #confirm(write: PendingWrite, sent: Promise<void>, waits: Map<object, Wait>): Promise<void> {
    try {
      await sent;
    } catch (error) {
      write.fail(error);
      return;
    }
    try {
      const stream = write.stream!;
      let wait = waits.get(stream);
      // A script that was sent twice, because of a redirection or a server that did not have it, is not covered.
      if (wait === undefined || wait.writtenAt < write.writtenAt) wait = this.#wait(stream, waits);
      const count = await wait.count;
      const { replicas } = this.#options;
      if (count >= replicas) write.succeed();
      else write.fail(notReplicated(new Error(`${count} of ${replicas} replicas have confirmed a change`)));
    } catch (error) {
      write.fail(notReplicated(error));
    }
  }

  #wait(stream: object, waits: Map<object, Wait>): Wait {
    const { client, replicas, observeWait } = this.#options;
    const startedAt = performance.now();
    const { promise: count, resolve, reject } = Promise.withResolvers<number>();
    // Nobody looks at it when the scripts before it have failed.
    count.catch(() => {});
    const command = new TracedCommand(
      "wait",
      "",
      encodeWait(replicas),
      (reply) => resolve(Number(reply)),
      reject,
    );
    const node = nodeOf(client, stream);
    if (node === undefined) reject(new Error("the connection was replaced"));
    else node.sendCommand(command);
    count.then(
      () => observeWait((performance.now() - startedAt) / 1000),
      () => {},
    );
    const wait = { writtenAt: command.stream === stream ? command.writtenAt : 0, count };
    waits.set(stream, wait);
    return wait;
  }
}

function encodeWait(replicas: number): string {
  const parts = ["WAIT", String(replicas), String(waitMs)];
  return `*3\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join("")}`;
}

/** The connection with this stream, if it still has it. */
function nodeOf(client: RedisClient, stream: object): Redis | undefined {
  const nodes = client instanceof Cluster ? client.nodes("all") : [client];
  return nodes.find((node) => node.stream === stream);
}

function notReplicated(cause: unknown): ServiceError {
  return new ServiceError("downlease.store.not_replicated", [], cause);
}
