"""Greedy answers of an exported model; each argument is one turn of the same chat. Without arguments, the samples of the model card."""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CALCULATOR = {"type": "function", "function": {
    "name": "calculator", "description": "Evaluate an arithmetic expression.",
    "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}}}
# (turns of the user, tools, thinking); a turn that starts with "tool:" is a tool's result.
SAMPLES = [
    (["Who are you?"], None, True), (["Hello!", "What can you do?"], None, True),
    (["What is the capital of France?"], None, True), (["What is the opposite of hot?"], None, True),
    (["My name is Anna.", "What is the capital of Italy?", "What is my name?"], None, True),
    (["My favourite colour is green.", "Hello!", "What is my favourite colour?"], None, True),
    (["What is 347 + 285?"], None, True), (["What is 58 + 67?"], None, True), (["What is 92 - 38?"], None, True), (["What is 24 * 3?"], None, True),
    (["What is 7 * 8?"], None, False), (["What is 23 + 45?"], None, False), (["What is 2 + 2?"], None, True),
    (["What is 1234 * 56?", "tool:69104"], [CALCULATOR], True), (["What is 12 times 7?", "tool:84"], [CALCULATOR], True), (["Who are you?"], [CALCULATOR], True),
    (["Make a JSON object with name Anna and age 30."], None, True), (["Tom is 12 years old and lives in Paris. Give me name, age and city as JSON."], None, True),
    (["List three fruits."], None, True), (["List three animals. Use bullet points."], None, True),
    (["Repeat after me: The quick fox ran over the bridge."], None, True), (["Say hello three times."], None, True), (["Spell cat."], None, True),
    (["Tom has a red hat. Anna lives in Paris. Ben plays the piano. Where does Anna live?", "What does Ben play?"], None, True),
    (["Count to ten."], None, True), (["Name the days of the week."], None, True), (["Tell me a joke."], None, True), (["Tell me a short story."], None, True),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--no-thinking", action="store_true")
    parser.add_argument("--calculator", action="store_true")
    parser.add_argument("turns", nargs="*")
    args = parser.parse_args()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(args.model)
    chats = [(args.turns, [CALCULATOR] if args.calculator else None, not args.no_thinking)] if args.turns else SAMPLES
    for turns, tools, thinking in chats:
        messages = []
        print(f"--- tools: {'calculator' if tools else 'none'}, enable_thinking: {thinking}")
        for turn in turns:
            role = "tool" if turn.startswith("tool:") else "user"
            messages.append({"role": role, "content": turn.removeprefix("tool:")})
            ids = tokenizer.apply_chat_template(messages, tools=tools, enable_thinking=thinking, add_generation_prompt=True, return_tensors="pt", return_dict=False)
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=200, do_sample=False)
            answer = tokenizer.decode(out[0, ids.shape[1]:]).removesuffix("<|im_end|>")
            print(f"{role}: {messages[-1]['content']}\nassistant: {answer}")
            if answer.startswith("<tool_call>"):
                try:
                    call = json.loads(answer.removeprefix("<tool_call>").removesuffix("</tool_call>"))
                    messages.append({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]})
                    continue
                except json.JSONDecodeError:
                    print("(not JSON)")
            messages.append({"role": "assistant", "content": answer})


if __name__ == "__main__":
    main()
