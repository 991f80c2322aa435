/**
 * Everything that depends on how node:cluster works inside (`lib/internal/cluster` of Node), not only on its documentation.
 * The tests of workers fail when that changes.
 */
import cluster, { type Worker } from "node:cluster";

/** A message between node:cluster in the supervisor and in a worker. */
interface ClusterMessage {
  readonly act?: string;
  readonly seq?: number;
  /** Of an answer: the `seq` of the message that it answers. */
  readonly ack?: number;
}

/**
 * The connections on their way to one worker. node:cluster keeps a connection open until the worker acknowledges it, and
 * forgets it when the worker ends before that: the client would never get an answer, and the supervisor would never close
 * it.
 */
export class ConnectionHandover {
  readonly #worker: Worker;
  /** Sequence numbers of the messages that carried the connections. */
  readonly #unacknowledged = new Set<number>();

  constructor(worker: Worker) {
    this.#worker = worker;
    const { process } = worker;
    const send = process.send.bind(process);
    process.send = ((...args: Parameters<typeof send>) => {
      const { act, seq } = args[0] as ClusterMessage;
      if (act === "newconn") this.#unacknowledged.add(seq!);
      return send(...args);
    }) as typeof send;
    process.on("internalMessage", ({ ack }: ClusterMessage) => {
      if (ack !== undefined) this.#unacknowledged.delete(ack);
    });
  }

  /**
   * Answers in place of a worker that has ended: its connections go to another worker, or are closed.
   *
   * @param hasOther whether another worker accepts connections on the same port
   */
  workerEnded(hasOther: boolean): void {
    // Where Node does not notice a disconnection, because a connection was being sent, the worker would still be served.
    if (cluster.workers?.[this.#worker.id] !== undefined) this.#worker.disconnect();
    // node:cluster hands a connection that is not accepted to the next worker, and closes one that is.
    for (const ack of this.#unacknowledged) {
      this.#worker.process.emit("internalMessage", { cmd: "NODE_CLUSTER", ack, accepted: !hasOther });
    }
  }
}
