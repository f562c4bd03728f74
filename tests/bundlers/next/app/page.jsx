"use client";

import { useEffect } from "react";

import { show } from "../app.js";

export default function Page() {
  useEffect(() => void show(), []);
  return <p>A page of Next.js</p>;
}
