import { show } from "./app.js";

void show();
