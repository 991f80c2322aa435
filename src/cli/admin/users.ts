import type { Task } from "../run.ts";
import { table } from "../text.ts";

/** Lists the users of the users file that the service uses. */
export async function list({ server, call, output }: Task): Promise<void> {
  const { users } = await server.admin.listUsers({}, call);
  if (output.isJson) for (const { name, roles } of users) output.json({ name, roles });
  else {
    const columns = [{ title: "NAME", shrinks: true }, { title: "ROLES" }];
    const rows = users.map(({ name, roles }) => [name, roles.join(",")]);
    output.lines(table(columns, rows, output.width));
  }
}
