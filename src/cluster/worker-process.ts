import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import type { ServingStatus } from "../telemetry/health.ts";
import { ConnectionHandover } from "./connection-handover.ts";
import type { Serving, StartFailure, SupervisorMessage, WorkerMessage } from "./messages.ts";

/** A worker ended before it served. */
export class WorkerFailure extends Error {
  override readonly name = "WorkerFailure";
  readonly exitCode: number;
  /** Whether the worker itself reported why, so that another attempt is of little use. */
  readonly isExplained: boolean;

  constructor({ message, exitCode }: StartFailure, isExplained: boolean) {
    super(message);
    this.exitCode = exitCode;
    this.isExplained = isExplained;
  }
}

export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A worker as the supervisor sees it. */
export class WorkerProcess {
  readonly number: number;
  /** The port it was started with; 0: any free one. */
  readonly requestedPort: number;
  /** Where it serves; undefined until it does. */
  port: number | undefined;
  /** How many of its predecessors in a row ended too early. */
  readonly crashes: number;
  /** Rejects with a `WorkerFailure` when it ends before it serves. */
  readonly serving: Promise<Serving>;
  /** Resolves when it has ended and all its messages have been read. */
  readonly ended: Promise<Ending>;
  /** When it began to serve, by the monotonic clock. */
  servesSince: number | undefined;
  /** Whether it was ended on purpose. */
  isLeaving = false;
  /** As it last reported. */
  #status: ServingStatus = "NOT_SERVING";
  readonly #worker: Worker;
  readonly #handover: ConnectionHandover;

  constructor(
    requestedPort: number,
    crashes: number,
    onMessage: (from: WorkerProcess, message: WorkerMessage) => void,
  ) {
    // The reason for round robin is in docs/decisions/0017-workers-get-connections-from-the-supervisor.md.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    // The last flag wins.
    const args = [...process.argv.slice(2), "--port", String(requestedPort)];
    // A metric may be NaN, which JSON can't express.
    cluster.setupPrimary({ args, serialization: "advanced" });
    this.#worker = cluster.fork();
    this.#handover = new ConnectionHandover(this.#worker);
    this.number = this.#worker.id;
    this.requestedPort = requestedPort;
    this.crashes = crashes;
    this.ended = ending(this.#worker);
    const serving = Promise.withResolvers<Serving>();
    this.serving = serving.promise;
    this.serving.catch(() => {});
    this.#worker.on("message", (message: WorkerMessage) => {
      if (message.type === "serving") {
        this.port = message.at.port;
        this.servesSince = performance.now();
        serving.resolve(message.at);
      } else if (message.type === "failed") {
        serving.reject(new WorkerFailure(message.failure, true));
      } else if (message.type === "status") {
        this.#status = message.status;
      } else {
        onMessage(this, message);
      }
    });
    void this.ended.then((end) =>
      serving.reject(new WorkerFailure(unexplainedFailure(this.number, end), false)),
    );
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  get serves(): boolean {
    return this.servesSince !== undefined;
  }

  /** Whether connections are handed to it. */
  get accepts(): boolean {
    return this.serves && !this.isLeaving && this.#worker.isConnected();
  }

  /** Whether it serves and its store works. */
  get isReady(): boolean {
    return this.accepts && this.#status === "SERVING";
  }

  /** After its end: gives the connections that it has not acknowledged to another worker, if one accepts them. */
  handOver(hasOther: boolean): void {
    this.#handover.workerEnded(hasOther);
  }

  send(message: SupervisorMessage): void {
    // Without a callback, a worker that has just died would be an unhandled error here.
    if (this.#worker.isConnected()) this.#worker.process.send(message, undefined, undefined, () => {});
  }

  /** Stops it in order. One that does not serve yet has nothing to finish. */
  stop(): void {
    this.isLeaving = true;
    if (this.serves) this.send({ type: "stop" });
    else this.kill();
  }

  kill(): void {
    this.isLeaving = true;
    this.#worker.process.kill("SIGKILL");
  }
}

function ending({ process }: Worker): Promise<Ending> {
  // A process that can't be started emits an error and no exit.
  const failed = once(process, "error").then(() => ({ code: 1, signal: null }));
  // "close" follows the exit and the last message. "disconnect" may never come: see `ConnectionHandover`.
  const closed = new Promise<Ending>((resolve) => {
    process.once("close", (code, signal) => resolve({ code, signal }));
  });
  return Promise.race([closed, failed]);
}

function unexplainedFailure(worker: number, { code, signal }: Ending): StartFailure {
  const how = signal === null ? `exit code ${code}` : signal;
  const message = `downlease can't start: worker ${worker} ended with ${how} before it served\n`;
  return { message, exitCode: code || 1 };
}
