// The same package on the server's side.
import { load } from "pplx-embed-web";
import "pplx-embed-web/mini";

export const dynamic = "force-dynamic";

export async function GET() {
  const model = await load("mini", { device: "cpu" });
  const rows = (await model.embed("When does the train leave?")).toArray();
  await model.dispose();
  return Response.json({ rows });
}
