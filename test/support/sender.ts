import { Agent, request } from "node:http";

export interface Sent {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly accept?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array;
}

export interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly text: string;
}

/** Sends requests unchanged, over a few connections that stay open. */
export class Sender {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });

  /** Rejects when no answer comes within five seconds. */
  send(url: string, { method, path, type, accept, headers, body }: Sent): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        url + path,
        {
          method,
          agent: this.#agent,
          timeout: 5000,
          headers: {
            ...headers,
            ...(type !== undefined && { "content-type": type }),
            ...(accept !== undefined && { accept }),
            ...(body !== undefined && { "content-length": String(body.length) }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"], text });
          });
        },
      );
      sent.on("timeout", () => sent.destroy(new Error(`no answer to ${method} ${path}`)));
      sent.on("error", reject);
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
