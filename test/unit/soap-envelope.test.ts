import { expect, test } from "vitest";
import { readEnvelope } from "../../src/protocols/vapi/soap/envelope.ts";

function textsOf(request: string): Record<string, string> {
  const envelope = `<e:Envelope xmlns:e="urn:e"><e:Body>${request}</e:Body></e:Envelope>`;
  return Object.fromEntries(readEnvelope(Buffer.from(envelope)).texts);
}

test("the first text of each element that is read counts, with any prefix", () => {
  const login = "<userName>alice</userName><v:password>a&amp;b</v:password><userName>bob</userName>";
  expect(textsOf(`<v:Login xmlns:v="urn:vim25">${login}</v:Login>`)).toEqual({
    userName: "alice",
    password: "a&b",
  });
  const set = "<propSet><obj>no</obj></propSet><objectSet><obj>SessionManager</obj></objectSet>";
  expect(textsOf(`<RetrieveProperties><specSet>${set}</specSet></RetrieveProperties>`)).toEqual({
    "specSet/objectSet/obj": "SessionManager",
  });
});

test("nothing is kept of other elements, of which thousands may be in one of a long name", () => {
  const name = "n".repeat(1000);
  const others = Array.from({ length: 100 }, (_, index) => `<x${index}>text</x${index}>`).join("");
  const nested = `<${name}>${others}<userName>bob</userName></${name}>`;
  expect(textsOf(`<Login>${nested}<password>secret</password></Login>`)).toEqual({ password: "secret" });
});
