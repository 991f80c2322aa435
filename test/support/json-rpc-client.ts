import { invocation, type Post } from "./json-rpc.ts";
import { type ProtocolClient, Refused, seenSession, type WrittenSession } from "./protocol-client.ts";

const modelName = "com.vmware.content.library.item.download_session_model";
const unsetModel = {
  id: { OPTIONAL: null },
  library_item_content_version: { OPTIONAL: null },
  error_message: { OPTIONAL: null },
  client_progress: { OPTIONAL: null },
  state: { OPTIONAL: null },
  expiration_time: { OPTIONAL: null },
};

type Named<T> = { readonly STRUCTURE: Readonly<Record<string, T>> };
interface ErrorValue {
  readonly messages: readonly [Named<{ readonly id: string; readonly default_message: string }>];
  readonly error_type: { readonly OPTIONAL: string };
}

/** The operations over JSON-RPC, as VMware's SDKs call them. */
export function jsonRpcClient(
  post: Post,
  credentials: Readonly<Record<string, string>> = {},
): ProtocolClient {
  async function invoke(operationId: string, input: object): Promise<unknown> {
    const { status, headers, text } = await post(JSON.stringify(invocation(operationId, input)), credentials);
    if (status !== 200) throw new Error(`status ${status}: ${text}`);
    const { result } = JSON.parse(text) as {
      result: { output?: unknown; error?: { ERROR: Readonly<Record<string, ErrorValue>> } };
    };
    if (result.error === undefined) return result.output;
    const [[name, value]] = Object.entries(result.error.ERROR) as [[string, ErrorValue]];
    const type = value.error_type.OPTIONAL;
    if (name !== `com.vmware.vapi.std.errors.${type.toLowerCase()}` || headers["vapi-error"] !== name)
      throw new Error(`odd error ${text}`);
    const message = value.messages[0].STRUCTURE["com.vmware.vapi.std.localizable_message"]!;
    throw new Refused("result", type, message.id, message.default_message);
  }
  const optional = (value: unknown = null) => ({ OPTIONAL: value });

  return {
    create: async (itemId, token) =>
      String(
        await invoke("create", {
          client_token: optional(token),
          create_spec: { STRUCTURE: { [modelName]: { ...unsetModel, library_item_id: optional(itemId) } } },
        }),
      ),
    async get(id) {
      const output = (await invoke("get", { download_session_id: id })) as Named<
        Record<string, { readonly OPTIONAL: unknown }>
      >;
      const model = output.STRUCTURE[modelName]!;
      const message = model.error_message!.OPTIONAL as Named<{ readonly default_message: string }> | null;
      const members = Object.entries(model).map(([name, { OPTIONAL }]) => [name, OPTIONAL]);
      return seenSession({
        ...(Object.fromEntries(members) as WrittenSession),
        error_message: message?.STRUCTURE["com.vmware.vapi.std.localizable_message"],
      });
    },
    list: async (itemId) => (await invoke("list", { library_item_id: optional(itemId) })) as string[],
    keepAlive: async (id, progress) =>
      expectVoid(await invoke("keep_alive", { download_session_id: id, progress: optional(progress) })),
    cancel: async (id) => expectVoid(await invoke("cancel", { download_session_id: id })),
    fail: async (id, message) =>
      expectVoid(await invoke("fail", { download_session_id: id, client_error_message: message })),
    delete: async (id) => expectVoid(await invoke("delete", { download_session_id: id })),
  };
}

function expectVoid(output: unknown): void {
  if (output !== null) throw new Error(`a void operation returned ${JSON.stringify(output)}`);
}
